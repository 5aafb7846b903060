"""What follows from a worker's death. Pure: other modules look at the process table."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum
from typing import Final

from superwsgi.master.policy import backoff

_FROM_OUTSIDE: Final = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT)
"""Signals that reveal nothing about the application: somebody killed the worker."""


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
    return death.boot_failed or death.code not in _FROM_OUTSIDE or backoff.crash_loop(death.early_deaths)


def judge(death: DeathView) -> Verdict:
    """A candidate is given up if one of its workers fails before it serves, or too many have crashed."""
    if death.asked_to_go and not death.boot_failed:
        return Verdict.EXPECTED
    if not death.candidate or not blames(death):
        return Verdict.REPLACE
    hopeless = death.served is None or death.failures + 1 >= death.max_failures
    return Verdict.ROLL_BACK if hopeless else Verdict.REPLACE
