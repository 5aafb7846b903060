"""Following companions that an operator has told to go, and others in their place: for those who wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from superwsgi.control import Ended, Outcome, Progress, Stage
from superwsgi.log.spelling import duration
from superwsgi.master.companions.companion import Companion, CompanionProcess
from superwsgi.master.companions.states import CompanionState

_GOES = (CompanionState.ENDING, CompanionState.KILLED, CompanionState.CLEARING)

Going = tuple[Companion, CompanionProcess]
"""A place of a companion, and the process that is to go."""


@dataclass(slots=True)
class ReplacingCompanions:
    """Until none of those that are `going` runs, and another process does in its place. `done` is how that is
    called; `began` is in monotonic seconds."""

    stage: Stage
    going: list[Going]
    done: str
    is_stopping: Callable[[], bool]
    began: float

    def __call__(self, now: float) -> Progress | Ended:
        left = [companion for companion, process in self.going if companion.process is process]
        coming = [companion for companion in self._wanted() if companion.process is None]
        if self.is_stopping() and (left or self.stage is Stage.RECYCLING):
            return self._end(Outcome.STOPPED, "the site is being stopped", now)
        failed = [companion for companion in coming if companion.trouble]
        if failed:
            return self._end(Outcome.FAILED, _why(failed[0]), now)
        if left or coming:
            return self._progress(len({*map(_key, left), *map(_key, coming)}), [*left, *coming])
        return self._end(Outcome.COMPLETE, "; ".join(self._told()), now)

    def _wanted(self) -> Iterator[Companion]:
        return (companion for companion, _ in self.going if companion.wanted)

    def _told(self) -> Iterator[str]:
        for companion, before in self.going:
            here = companion.process is not None and companion.pid is not None
            yield f"{name(companion.label, before.pid)} {self.done}" + (
                f"; pid {companion.pid} runs" if here else ""
            )

    def _progress(self, left: int, waiting: list[Companion]) -> Progress:
        ends = [companion for companion in waiting if companion.state in _GOES]
        total = len(self.going)
        return Progress(
            stage=self.stage, done=total - left, total=total, waits_for=waits_for((ends or waiting)[0])
        )

    def _end(self, outcome: Outcome, reason: str, now: float) -> Ended:
        return Ended(outcome=outcome, seconds=now - self.began, reason=reason)


def waits_for(companion: Companion) -> str:
    """`companion mail (pid 812) ends, at most 30s (graceful)`."""
    process = companion.process
    if process is None:
        return f"companion {companion.label} is to be started"
    who = name(companion.label, process.pid)
    if companion.state is CompanionState.CLEARING:
        return f"what {who} has started ends"
    if companion.state is CompanionState.RUNNING:
        return f"{who} is to be told to end"
    most = f", at most {duration(process.patience)} (graceful)"
    return f"{who} ends" + (most if companion.state is CompanionState.ENDING else "")


def name(label: str, pid: int) -> str:
    return f"companion {label} (pid {pid})"


def _key(companion: Companion) -> int:
    return companion.key


def _why(companion: Companion) -> str:
    then = f"it is tried again, and `superwsgi why {companion.label}` has more"
    return f"companion {companion.label} was not started again: {companion.trouble}; {then}"
