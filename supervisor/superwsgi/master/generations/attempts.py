"""Starts and reloads, each with a number, and how they ended: who has asked for one may ask for that."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from superwsgi.control import Ended, Outcome

_REMEMBERED: Final = 16


@dataclass(slots=True)
class Attempt:
    """One start or reload; `generation` is None until there is one, `ended` while it goes on."""

    number: int
    began: float
    generation: int | None = None
    ended: Ended | None = None


class Attempts:
    """The last ones; at most the newest goes on."""

    def __init__(self) -> None:
        self._attempts: deque[Attempt] = deque(maxlen=_REMEMBERED)
        self._last = 0

    def begin(self, now: float) -> int:
        """The number of a new one."""
        self._last += 1
        self._attempts.append(Attempt(self._last, now))
        return self._last

    @property
    def newest(self) -> int:
        return self._last

    @property
    def next(self) -> int:
        """The number that the next one will have."""
        return self._last + 1

    def find(self, number: int) -> Attempt | None:
        """None for one that is still to come, or long over."""
        return next((attempt for attempt in self._attempts if attempt.number == number), None)

    def generation(self, number: int) -> None:
        """The newest one has a generation now."""
        if self._attempts:
            self._attempts[-1].generation = number

    def end(self, outcome: Outcome, now: float, reason: str = "", detail: str = "") -> None:
        """How the newest one ended, if it has not already."""
        attempt = self._attempts[-1] if self._attempts else None
        if attempt is not None and attempt.ended is None:
            attempt.ended = Ended(
                outcome=outcome,
                seconds=now - attempt.began,
                generation=attempt.generation,
                reason=reason,
                detail=detail,
            )
