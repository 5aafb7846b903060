"""Whether the site is down: no worker serves, or none stays. Pure; times are monotonic seconds.

That a worker is replaced by another one is no outage, however few there are. So it takes some seconds
without any; and workers which end right after their start do not end it, but one that stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from superwsgi.master.policy.death import EARLY

PATIENCE: Final = 3.0
"""Seconds without a worker that serves before this is said: one that is forked serves within one."""


@dataclass(frozen=True, slots=True)
class Outage:
    """Since when none has served, or none has stayed; whether it was `said`, in which incident, and why."""

    since: float
    said: bool = False
    incident: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Over:
    """The outage that there was is over: `lasted` for so many seconds."""

    outage: Outage
    lasted: float


def judge(
    before: Outage | None, served: float | None, *, looping: bool, now: float
) -> tuple[Outage | None, Outage | Over | None]:
    """The outage that there is now, and what is to be said: one that begins or is over. `served` is for how
    many seconds the worker has served that has done so longest, None if none does; `looping`: workers end
    right after their start."""
    if served is None:
        outage = before or Outage(now)
        if outage.said or now - outage.since < PATIENCE:
            return outage, None
        return replace(outage, said=True), outage
    if before is None or served >= EARLY:
        over = Over(before, now - served - before.since) if before is not None and before.said else None
        return None, over
    return (before if before.said or looping else None), None
