"""Events that operators may ask about: starts and reloads, each with a number, and how they ended; why the
last one failed; and the workers' last deaths.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from superwsgi.control import Ended, Outcome

_REMEMBERED: Final = 16


@dataclass(slots=True)
class Attempt:
    """One start or reload; `generation` is None until there is one, `ended` is None while it goes on."""

    number: int
    began: float
    generation: int | None = None
    ended: Ended | None = None


class Attempts:
    """The last attempts; only the newest can still be going on."""

    def __init__(self) -> None:
        self._attempts: deque[Attempt] = deque(maxlen=_REMEMBERED)
        self._last = 0

    def begin(self, now: float) -> int:
        """Begin a new one; returns its number."""
        self._last += 1
        self._attempts.append(Attempt(self._last, now))
        return self._last

    @property
    def newest(self) -> int:
        return self._last

    @property
    def next(self) -> int:
        """The number of the next one."""
        return self._last + 1

    def find(self, number: int) -> Attempt | None:
        """None for an attempt that is still to come, or long over."""
        return next((attempt for attempt in self._attempts if attempt.number == number), None)

    def generation(self, number: int) -> None:
        """The newest one has a generation now."""
        if self._attempts:
            self._attempts[-1].generation = number

    def end(self, outcome: Outcome, now: float, reason: str = "", detail: str = "") -> None:
        """Note how the newest one ended, unless it has ended already."""
        attempt = self._attempts[-1] if self._attempts else None
        if attempt is not None and attempt.ended is None:
            attempt.ended = Ended(
                outcome=outcome,
                seconds=now - attempt.began,
                generation=attempt.generation,
                reason=reason,
                detail=detail,
            )


@dataclass(slots=True)
class Record:
    """One site's record. `deaths` are the last ones by worker number: when (monotonic seconds) and how."""

    attempts: Attempts = field(default_factory=Attempts)
    trouble: str = ""  # why the last start or reload failed; empty once one has succeeded
    deaths: dict[int, tuple[float, str]] = field(default_factory=dict)

    def complete(self, now: float) -> None:
        """The newest attempt has succeeded."""
        self.trouble = ""
        self.attempts.end(Outcome.COMPLETE, now)

    def failed(self, outcome: Outcome, now: float, reason: str, detail: str = "") -> None:
        """The newest attempt has failed."""
        self.trouble = reason
        self.attempts.end(outcome, now, reason, detail)

    def died(self, number: int, how: str, now: float) -> None:
        """A worker has ended in an unexpected way."""
        self.deaths[number] = now, how
