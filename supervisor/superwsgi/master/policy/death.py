"""What follows from deaths: what one means for its generation, and how long to wait before a worker that died
early, or a lost mold, is replaced. Pure numbers, no clock: other modules look at the process table.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum
from typing import Final

_FROM_OUTSIDE: Final = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT)
"""Signals that reveal nothing about the application: somebody killed the worker."""

EARLY: Final = 5.0
"""Seconds of service below which a death counts as early."""

FREE: Final = 5
"""Early deaths in a row that are replaced at once."""

FIRST: Final = 0.1
LONGEST: Final = 30.0
"""Seconds of the first wait, and of the longest one."""

_DOUBLED: Final = 16
"""Times that the wait is doubled: more than it takes from FIRST to LONGEST."""

FORGET: Final = 60.0
"""Seconds without an early death after which the row is over."""


class Verdict(Enum):
    EXPECTED = "expected"  # it was asked to go
    REPLACE = "replace"
    ROLL_BACK = "roll back"  # its generation will not take over


@dataclass(frozen=True, slots=True)
class DeathView:
    """`code` is that of os.waitstatus_to_exitcode, None if there never was a process; `served` is in seconds,
    None if it never did; `early_deaths` is the length of the row including this one, `failures` counts the
    earlier deaths for which a candidate was blamed."""

    code: int | None
    served: float | None
    asked_to_go: bool
    boot_failed: bool
    candidate: bool
    early_deaths: int
    failures: int
    max_failures: int


def blames(death: DeathView) -> bool:
    """Whether to blame a candidate for a death. A worker killed from outside says nothing about its
    generation, unless that happens again and again."""
    if death.asked_to_go and not death.boot_failed:
        return False
    return death.boot_failed or death.code not in _FROM_OUTSIDE or crash_loop(death.early_deaths)


def judge(death: DeathView) -> Verdict:
    """A candidate is given up if one of its workers fails before it serves, or too many have crashed."""
    if death.asked_to_go and not death.boot_failed:
        return Verdict.EXPECTED
    if not death.candidate or not blames(death):
        return Verdict.REPLACE
    hopeless = death.served is None or death.failures + 1 >= death.max_failures
    return Verdict.ROLL_BACK if hopeless else Verdict.REPLACE


# How long to wait: early deaths in a row.


def delay(streak: int) -> float:
    """Seconds to wait before the next fork after `streak` early deaths in a row.

    Two goals conflict. A worker that somebody killed, or four that a passing fault took down together, should
    be back before a client notices, so the first few are replaced at once (like systemd's StartLimitBurst).
    An application that dies right after each start must not become a fork bomb: without a back-off, a
    supervisor made 149 forks of one in 8 seconds. So the wait then doubles from a tenth of a second to half a
    minute, after which a fixed deploy still comes up soon.
    """
    doubled = min(streak - FREE - 1, _DOUBLED)  # a float would overflow within a night
    return 0.0 if streak <= FREE else min(FIRST * 2.0**doubled, LONGEST)


def streak(before: int, *, served: float | None, since_last: float | None) -> int:
    """The length of the row after one more death, given how long the worker served (None: never) and how long
    ago the last early death was, both in seconds."""
    if served is not None and served >= EARLY:
        return 0
    if since_last is not None and since_last >= FORGET:
        return 1
    return before + 1


def crash_loop(streak: int) -> bool:
    """Whether the row is long enough to be called a crash loop."""
    return streak > FREE


@dataclass(slots=True)
class Crashes:
    """The sum of one generation's deaths; times in monotonic seconds."""

    early: int = 0  # workers in a row that died early
    blamed: int = 0  # deaths that it was blamed for while it was a candidate
    fork_at: float = 0.0  # no worker is forked before
    last_early: float | None = None
    molds: int = 0
    last_mold: float | None = None

    def count(self, served: float | None, now: float, *, failed: bool) -> None:
        """Count a worker that was not asked to go, or has failed. One that failed before it served will not
        load a moment later either."""
        before = max(self.early, FREE) if failed and served is None else self.early
        self.early = streak(before, served=served, since_last=_since(self.last_early, now))
        if self.early:
            self.last_early = now
        self.fork_at = now + delay(self.early)

    def looping(self, now: float) -> bool:
        """Whether workers have died early one after another until a moment ago, also while one serves."""
        return crash_loop(self.early) and now - (self.last_early or now) < FORGET

    def blame(self) -> None:
        """Blame the generation for the last death."""
        self.blamed += 1

    def put_off(self, until: float) -> None:
        """Postpone forks, as one was not possible."""
        self.fork_at = until

    def count_mold(self, now: float) -> float:
        """Count a lost mold. Seconds to wait before the next one."""
        self.molds = streak(self.molds, served=None, since_last=_since(self.last_mold, now))
        self.last_mold = now
        return delay(FREE + self.molds)


def _since(when: float | None, now: float) -> float | None:
    return None if when is None else now - when
