"""What the master holds of a mold and of a worker.

Their own code is in worker/boot/, in mold.py and process.py; the two sides share only messages and the
scoreboard.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from superwsgi.channel import Channel
from superwsgi.master import states
from superwsgi.master.handover import HeldMold, HeldWorker
from superwsgi.master.policy.governor import WorkerView
from superwsgi.master.processes.hearing import Said
from superwsgi.master.states import WorkerEvent, WorkerState

_keys = itertools.count(1)


@dataclass(slots=True)
class WorkerHandle:
    """One worker; times in monotonic seconds."""

    number: int
    generation: int
    slot: int
    channel: Channel
    deadline: float | None  # killed then, because of `overdue`
    overdue: str
    key: int = field(default_factory=lambda: next(_keys))
    state: WorkerState = WorkerState.FORKING
    pid: int | None = None
    ready_at: float | None = None
    dumped_at: float | None = None  # when it was asked for its stacks, while it hangs
    stopped_at: float | None = None  # when it was first seen stopped by a signal, while it is
    switches: int = 0  # of context that it had made then
    recycle: str | None = None  # why it should be replaced
    asked_to_go: str | None = None  # why it was drained or ended
    failure: str | None = None  # why it did not boot, or had to be ended as broken
    detail: str = ""  # the traceback's text, where there is one
    said: Said = Said.NOTHING
    cut_off: bool = False  # its channel has ended

    @classmethod
    def restore(cls, held: HeldWorker, generation: int) -> WorkerHandle:
        """A worker that an earlier program of this process has handed over."""
        return cls(
            number=held.number,
            generation=generation,
            slot=held.slot,
            channel=Channel.of(held.channel),
            deadline=held.deadline,
            overdue=held.overdue,
            state=held.state,
            pid=held.pid,
            ready_at=held.ready_at,
            recycle=held.recycle,
            asked_to_go=held.asked_to_go,
            failure=held.failure,
            said=held.said,
        )

    def hold(self) -> HeldWorker:
        """What the next program of this process needs of it."""
        return HeldWorker(
            number=self.number,
            slot=self.slot,
            channel=self.channel.held(),
            state=self.state,
            deadline=self.deadline,
            overdue=self.overdue,
            pid=self.pid,
            ready_at=self.ready_at,
            recycle=self.recycle,
            asked_to_go=self.asked_to_go,
            failure=self.failure,
            said=self.said,
        )

    def apply(self, event: WorkerEvent) -> None:
        """Move to the next state. Raises ImpossibleEvent."""
        self.state = states.after(states.WORKER, self.state, event)

    def give_until(self, deadline: float, overdue: str) -> None:
        """It is killed then, because of `overdue`. One that is cut off is not given more than it has."""
        if not self.cut_off or self.deadline is None or deadline < self.deadline:
            self.deadline, self.overdue = deadline, overdue

    def can(self, event: WorkerEvent) -> bool:
        """Whether the event is possible now."""
        return event in states.WORKER[self.state]

    def view(self) -> WorkerView:
        return WorkerView(
            key=self.key,
            number=self.number,
            generation=self.generation,
            state=self.state,
            ready_at=self.ready_at,
            recycle=self.recycle,
            deadline=self.deadline,
            overdue=self.overdue,
        )

    def who(self) -> dict[str, object]:
        """The fields that name it in the log."""
        return {"worker": self.number, "gen": self.generation, "pid": self.pid}


@dataclass(slots=True)
class MoldHandle:
    """A generation's mold."""

    pid: int
    channel: Channel
    loaded: bool = False
    harmless: bool = False  # its import has left nothing but memory
    hazards: list[str] = field(default_factory=list)  # why it must not be forked, but become a worker
    failure: str | None = None  # why it did not load
    detail: str = ""  # the traceback's text, where there is one
    said: Said = Said.NOTHING
    garbled: int = 0  # packets that were no messages
    stopped_at: float | None = None  # when it was first seen stopped by a signal, while it is
    switches: int = 0  # of context that it had made then

    @classmethod
    def restore(cls, held: HeldMold) -> MoldHandle:
        return cls(held.pid, Channel.of(held.channel), held.loaded, hazards=held.hazards, said=held.said)

    def hold(self) -> HeldMold:
        return HeldMold(self.pid, self.channel.held(), self.loaded, self.hazards, self.said)
