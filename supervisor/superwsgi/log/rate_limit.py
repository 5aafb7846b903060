"""Events that could flood the log, or whoever is told of them.

Times are monotonic ns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

SILENCE: Final = 60 * 10**9


BURST: Final = 64
"""Incidents that a process reports to the master at once; in each second after that, a quarter of them."""


class TokenBucket:
    """`most` at once, and a quarter of that in each second."""

    __slots__ = ("_left", "_most", "_then")

    def __init__(self, most: int = BURST) -> None:
        self._most = most
        self._left = float(most)
        self._then = 0

    def take(self, now: int) -> bool:
        """Whether there may be one more."""
        self._left = min(self._most, self._left + (now - self._then) / 1e9 * self._most / 4)
        self._then = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Complaint:
    """One event, logged at once, then at most once a minute, with its number; `say` is a method of the error
    log."""

    __slots__ = ("_event", "_say", "_silent_until", "_times")

    def __init__(self, say: Callable[..., object], event: str) -> None:
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
