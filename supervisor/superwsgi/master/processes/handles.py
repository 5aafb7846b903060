"""What the master holds of a mold and of a worker. Others read it; it is changed by these verbs alone, each
of which notes a fact or does one thing to the process. What should be done is decided elsewhere.

Their own code is in worker/boot/, in mold.py and process.py; the two sides share only messages and the
scoreboard.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from superwsgi.channel import Channel
from superwsgi.master import states
from superwsgi.master.handover import HeldMold, HeldWorker
from superwsgi.master.policy.governor import WorkerView
from superwsgi.master.processes import hearing
from superwsgi.master.processes.hearing import Said
from superwsgi.master.states import WorkerEvent, WorkerState
from superwsgi.messages import Word

GRACE: Final = 2.0
"""Seconds between the time by which a process should have ended by itself and its SIGKILL."""

_GARBLED: Final = 3
"""Packets of a mold that may be no messages of ours."""

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
    detail: str = ""  # the traceback's text, if there is one
    said: Said = Said.NOTHING
    cut_off: bool = False  # its channel has ended

    @classmethod
    def restore(cls, held: HeldWorker, generation: int) -> WorkerHandle:
        """A worker handed over by an earlier program of this process."""
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

    def heard(self, word: Word, sender: int, is_free: Callable[[int], bool]) -> None:
        """Its next word, which may say what process it is: `is_free` as for hearing.beginner. Raises
        Forged."""
        if self.pid is None:
            self.pid = hearing.beginner(word, sender=sender, is_free=is_free)
        self.said = hearing.after(hearing.WORKER, self.said, word, sender=sender, of=self.pid)

    def take_over(self, pid: int) -> None:
        """A mold's process, which becomes it."""
        self.pid = pid

    def ready(self, now: float) -> None:
        """It says that it serves; where it was told to go meanwhile, it drains."""
        self.apply(WorkerEvent.READY)
        if self.state is WorkerState.SERVING:
            self.ready_at = now
            self.deadline = None

    def fail(self, reason: str, detail: str = "") -> None:
        """Why it does not boot, or has to be ended as broken."""
        self.failure, self.detail = reason, detail

    def break_off(self, reason: str, pid: int | None) -> None:
        """It has said what it cannot have said, and is not heard any more; `pid` is it where it had not
        begun."""
        self.channel.ended = True
        self.pid = pid if self.pid is None else self.pid
        self.failure = reason

    def replace(self, reason: str) -> None:
        """Why another one should take its place."""
        self.recycle = reason

    def ask_to_go(self, reason: str) -> None:
        """Why it is drained or ended; the first reason counts."""
        self.asked_to_go = self.asked_to_go or reason

    def hangs(self, now: float) -> None:
        """It is asked for its stacks."""
        self.dumped_at = now

    def answers(self) -> None:
        """It does not hang, or not any more."""
        self.dumped_at = None

    def seen(self, now: float, switches: int | None) -> None:
        """How often it had been put aside, at a look from outside, where a signal has stopped it; else None.
        Whoever stops and continues it all the time, as cpulimit(1) does, may do so: then it has run between
        two looks."""
        _see(self, now, switches)

    def cut(self, now: float) -> None:
        """Its channel has ended: its exit is on its way, or it has closed it and goes on."""
        if not self.cut_off:
            self.cut_off = True
            self.give_until(now + GRACE, "closed its channel but keeps running")

    def give_until(self, deadline: float, overdue: str) -> None:
        """It is killed then, because of `overdue`. One that is cut off is not given more than it has."""
        if not self.cut_off or self.deadline is None or deadline < self.deadline:
            self.deadline, self.overdue = deadline, overdue

    def killed(self, now: float) -> None:
        """It has been sent SIGKILL, or there is nobody yet to send it to."""
        self.deadline, self.overdue = now + GRACE, "killed, but still there"

    def signal(self, number: int) -> None:
        """Send it a signal, once it is a process: our child, not reaped yet, so the process id is its own."""
        if self.pid is not None:
            os.kill(self.pid, number)

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
    detail: str = ""  # the traceback's text, if there is one
    said: Said = Said.NOTHING
    garbled: int = 0  # packets that were no messages
    stopped_at: float | None = None  # when it was first seen stopped by a signal, while it is
    switches: int = 0  # of context that it had made then

    @classmethod
    def restore(cls, held: HeldMold) -> MoldHandle:
        return cls(held.pid, Channel.of(held.channel), held.loaded, hazards=held.hazards, said=held.said)

    def hold(self) -> HeldMold:
        return HeldMold(self.pid, self.channel.held(), self.loaded, self.hazards, self.said)

    def heard(self, word: Word, sender: int) -> None:
        """Its next word. Raises Forged."""
        self.said = hearing.after(hearing.MOLD, self.said, word, sender=sender, of=self.pid)

    def is_heard(self) -> bool:
        """Whether it has not been dismissed, which closes its channel."""
        return self.channel.fileno() >= 0

    def can_be_forked(self, *, harmless: bool) -> None:
        """It has loaded; `harmless` where the import has left nothing but memory."""
        self.loaded, self.harmless = True, harmless

    def must_become(self, hazards: list[str]) -> None:
        """It has loaded, and can only become a worker itself, because of these."""
        self.loaded, self.hazards = True, hazards

    def fail(self, reason: str, detail: str = "") -> None:
        """Why it does not load."""
        self.failure, self.detail = reason, detail

    def garble(self) -> bool:
        """It has sent what is no message. Whether that is forgiven: a few are, for the number of its channel
        means something else elsewhere, under s6 for example, and an application may write there."""
        self.garbled += 1
        return self.garbled <= _GARBLED

    def break_off(self, reason: str) -> None:
        """It has said what it cannot have said, is not heard any more, and of no use."""
        self.channel.ended = True
        self.loaded, self.hazards = False, []
        self.failure = reason

    def lose(self, reason: str) -> None:
        """It is of no use any more; the first reason counts."""
        self.failure = self.failure or reason

    def seen(self, now: float, switches: int | None) -> None:
        """As for a worker."""
        _see(self, now, switches)


def _see(process: WorkerHandle | MoldHandle, now: float, switches: int | None) -> None:
    if switches is None:
        process.stopped_at = None
    elif process.stopped_at is None or switches != process.switches:
        process.stopped_at, process.switches = now, switches
