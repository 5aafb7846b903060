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
class Death:
    """`code` as os.waitstatus_to_exitcode has it, None where there never was a process; `served` in seconds,
    None where it never did; `early_deaths` is the row's length with this one."""

    code: int | None
    served: float | None
    asked_to_go: bool
    boot_failed: bool
    candidate: bool
    early_deaths: int


def judge(death: Death) -> Verdict:
    """A candidate is given up when a worker of it does not boot, or crashes soon after. A worker that was
    killed from outside says nothing against its generation, unless that happens again and again."""
    if death.asked_to_go and not death.boot_failed:
        return Verdict.EXPECTED
    early = death.served is None or death.served < backoff.EARLY
    blamed = death.boot_failed or death.code not in _FROM_OUTSIDE or backoff.crash_loop(death.early_deaths)
    return Verdict.ROLL_BACK if death.candidate and early and blamed else Verdict.REPLACE
