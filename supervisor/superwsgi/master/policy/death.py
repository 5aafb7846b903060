"""What a worker's death means. Pure: the process table is looked at elsewhere."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum
from typing import Final

from superwsgi.master.policy import backoff

_FROM_OUTSIDE: Final = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT)
"""Signals that say nothing about the application: somebody killed the worker."""


class Verdict(Enum):
    EXPECTED = "expected"  # it was asked to go
    REPLACE = "replace"
    ROLL_BACK = "roll back"  # its generation does not take over


@dataclass(frozen=True, slots=True)
class DeathView:
    """`code` as os.waitstatus_to_exitcode has it, None where there never was a process; `served` in seconds,
    None where it never did; `early_deaths` is the row's length with this one, `failures` are those for which
    a candidate was blamed before it."""

    code: int | None
    served: float | None
    asked_to_go: bool
    boot_failed: bool
    candidate: bool
    early_deaths: int
    failures: int
    max_failures: int


def blames(death: DeathView) -> bool:
    """Whether a death speaks against a candidate. A worker that was killed from outside says nothing about
    its generation, unless that happens again and again."""
    if death.asked_to_go and not death.boot_failed:
        return False
    return death.boot_failed or death.code not in _FROM_OUTSIDE or backoff.crash_loop(death.early_deaths)


def judge(death: DeathView) -> Verdict:
    """A candidate is given up when a worker of it does not come to serve, or too many have crashed."""
    if death.asked_to_go and not death.boot_failed:
        return Verdict.EXPECTED
    if not death.candidate or not blames(death):
        return Verdict.REPLACE
    hopeless = death.served is None or death.failures + 1 >= death.max_failures
    return Verdict.ROLL_BACK if hopeless else Verdict.REPLACE
