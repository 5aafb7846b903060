"""Events that could flood the log, or whoever is told of them.

Times are monotonic ns.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import count
from typing import Final

SILENCE: Final = 60 * 10**9
"""For a Complaint: ns after it was made in which it is only counted."""

REPEATED: Final = 600 * 10**9
"""For Repeats: ns from one time that it is told to the next, and without it, after which it is news again."""

_OFTEN: Final = 8
"""Times that are all told at first."""

_KEYS: Final = 1000
"""Reasons that are told apart; beyond, the one that was longest without news is forgotten."""

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


class Repeats:
    """What may go on for days, always for the same reason: told a few times, then every ten minutes."""

    def __init__(self) -> None:
        self._told: dict[Hashable, tuple[int, int, int, int]] = {}  # times, seen, told, times since then

    def told(self, level: str, key: Hashable, now: int) -> tuple[str, dict[str, int]]:
        """It has happened. The level at which to say so, debug for what is not news, and a field for how
        often it was not told."""
        times, seen, told, since = self._told.pop(key, (0, now, now, 0))
        if now - seen >= REPEATED:
            times = since = 0
        news = times < _OFTEN or now - told >= REPEATED
        self._told[key] = times + 1, now, now if news else told, 0 if news else since + 1
        if len(self._told) > _KEYS:
            del self._told[next(iter(self._told))]
        return (level, {"repeated": since} if since else {}) if news else ("debug", {})


class Complaint:
    """One event, logged at once, then at most once a minute, with its number; `say` is a method of the error
    log. From any thread, and without a lock, which a forked child could find held for ever: of threads that
    come together, the one that pops `_silent_until` may speak."""

    __slots__ = ("_count", "_event", "_said", "_say", "_silent_until")

    def __init__(self, say: Callable[..., object], event: str) -> None:
        self._say = say
        self._event = event
        self._silent_until = [0]
        self._count = count(1)
        self._said = 0  # how many there had been when it was said

    def make(self, now: int, detail: str = "", **words: object) -> bool:
        """It has happened, perhaps again: `words` and `detail` say how. Returns whether that was said."""
        number = next(self._count)
        if not self._may_speak(now):
            return False
        times, self._said = number - self._said, number
        if times > 1:
            words["times"] = times
        self._say(self._event, detail, **words)
        return True

    def _may_speak(self, now: int) -> bool:
        """Whether it is time, and no other thread is at this very point."""
        try:
            until = self._silent_until.pop()
        except IndexError:
            return False
        due = now >= until
        self._silent_until.append(now + SILENCE if due else until)
        return due
