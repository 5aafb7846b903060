"""Events that could flood the log: logged at once, then at most once a minute, with their number.

Times are monotonic ns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

SILENCE: Final = 60 * 10**9


class Complaint:
    """One event; `say` is a method of the error log."""

    __slots__ = ("_event", "_say", "_silent_until", "_times")

    def __init__(self, say: Callable[..., None], event: str) -> None:
        self._say = say
        self._event = event
        self._silent_until = 0
        self._times = 0  # since it was said

    def make(self, now: int, detail: str = "", **words: object) -> bool:
        """It has happened, perhaps again: `words` and `detail` say how. Returns whether that was said."""
        self._times += 1
        if now < self._silent_until:
            return False
        self._silent_until = now + SILENCE
        times, self._times = self._times, 0
        if times > 1:
            words["times"] = times
        self._say(self._event, detail, **words)
        return True
