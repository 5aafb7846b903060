"""What follows for companions: which to start, to tell to end and to kill. Pure: companions.py looks at the
clock and the processes, and does what is decided here.

Of a companion's places only one at a time is exchanged, and the next once its new process has run for PROOF:
of several some always run, and a release whose companion does not start leaves the others as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from superwsgi.master.companions.states import CompanionState

PROOF: Final = 1.0
"""Seconds that a new process runs before the next place is exchanged."""

CLEAR: Final = 0.1
"""Seconds between two looks at whether all that a companion had started has ended."""

_GOES: Final = (CompanionState.ENDING, CompanionState.KILLED, CompanionState.CLEARING)


@dataclass(frozen=True, slots=True)
class CompanionView:
    """One place, by its `key`; `name` is the companion's. `wanted`: it is to be there; `kept`: it goes on for
    now even if it is not. `due`: why its process is to be exchanged. Times are monotonic seconds: since when
    its process runs, from when on it may be started, by when it has to end, and when to look again."""

    key: int
    name: str
    state: CompanionState
    wanted: bool = True
    kept: bool = False
    due: str = ""
    began: float = 0.0
    start_at: float = 0.0
    deadline: float | None = None
    look_at: float = 0.0


@dataclass(frozen=True, slots=True)
class StartCompanion:
    key: int


@dataclass(frozen=True, slots=True)
class TellCompanion:
    """To end."""

    key: int
    reason: str


@dataclass(frozen=True, slots=True)
class KillCompanion:
    """It has not ended in time."""

    key: int


@dataclass(frozen=True, slots=True)
class ClearCompanion:
    """See whether something is left of what it had started."""

    key: int


@dataclass(frozen=True, slots=True)
class ForgetCompanion:
    key: int


CompanionStep = StartCompanion | TellCompanion | KillCompanion | ClearCompanion | ForgetCompanion


@dataclass(frozen=True, slots=True)
class NextSteps:
    """What to do now, and when to ask again even if nothing happens."""

    steps: tuple[CompanionStep, ...]
    ask_at: float | None


def decide(views: Sequence[CompanionView], now: float) -> NextSteps:
    steps = tuple(step for view in views for step in _step(view, now))
    exchanged = tuple(_exchanges(views, now))
    times = (time for view in views for time in _times(view, views) if time > now)
    return NextSteps((*steps, *exchanged), min(times, default=None))


def _step(view: CompanionView, now: float) -> Iterator[CompanionStep]:
    """What concerns one place alone."""
    if view.state is CompanionState.WAITING:
        if not view.wanted:
            yield ForgetCompanion(view.key)
        elif now >= view.start_at:
            yield StartCompanion(view.key)
    elif view.state is CompanionState.RUNNING and not view.wanted and not view.kept:
        yield TellCompanion(view.key, view.due)
    elif view.state is CompanionState.ENDING and view.deadline is not None and now >= view.deadline:
        yield KillCompanion(view.key)
    elif view.state is CompanionState.CLEARING and now >= view.look_at:
        yield ClearCompanion(view.key)


def _exchanges(views: Sequence[CompanionView], now: float) -> Iterator[CompanionStep]:
    """At most one of each companion."""
    begun: set[str] = set()
    for view in views:
        if _is_due(view) and view.name not in begun and _others_run(view, views, now):
            begun.add(view.name)
            yield TellCompanion(view.key, view.due)


def _is_due(view: CompanionView) -> bool:
    return view.state is CompanionState.RUNNING and view.wanted and bool(view.due)


def _others_run(view: CompanionView, views: Sequence[CompanionView], now: float) -> bool:
    return all(_has_proven(other, now) for other in _others(view, views))


def _has_proven(other: CompanionView, now: float) -> bool:
    runs = other.state is CompanionState.RUNNING and now >= other.began + PROOF
    return runs or not (other.wanted or other.state in _GOES)


def _others(view: CompanionView, views: Sequence[CompanionView]) -> list[CompanionView]:
    return [other for other in views if other.name == view.name and other.key != view.key]


def _times(view: CompanionView, views: Sequence[CompanionView]) -> Iterator[float]:
    """When something may be due without an event."""
    if view.state is CompanionState.WAITING:
        yield view.start_at
    elif view.state is CompanionState.ENDING and view.deadline is not None:
        yield view.deadline
    elif view.state is CompanionState.CLEARING:
        yield view.look_at
    elif _is_due(view):
        yield from (other.began + PROOF for other in _others(view, views))
