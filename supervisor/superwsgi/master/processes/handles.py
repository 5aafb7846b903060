"""What the master knows about a mold and a worker. Others read it; it is changed only by these verbs, each of
which notes a fact or does one thing to the process. What should be done is decided elsewhere.

The code of the processes is in worker/boot/, in mold.py and process.py; the two sides share only messages and
the scoreboard.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from superwsgi.board.counts import REFUSED, Counts
from superwsgi.channel import Channel, Closed, Forged
from superwsgi.log.rate_limit import BURST, TokenBucket
from superwsgi.master import states
from superwsgi.master.handover import HeldMold, HeldWorker
from superwsgi.master.memory.series import Figures, MemorySeries
from superwsgi.master.policy.causes import Cause
from superwsgi.master.policy.governor import WorkerView
from superwsgi.master.processes import hearing
from superwsgi.master.processes.hearing import Said
from superwsgi.master.processes.stacks import Stacks
from superwsgi.master.states import WorkerEvent, WorkerState
from superwsgi.messages import MOST_ANSWERS, Become, Fork, Ready, TellThreads, ThreadsAt, Word
from superwsgi.snapshot import LeakStatus

GRACE: Final = 2.0
"""Seconds between the time by which a process should have ended by itself and its SIGKILL."""

_GARBLED: Final = 3
"""Packets of a mold that may be something else than our messages."""

_REPORTS: Final = 16 * BURST
"""Incidents that a process may report at once: what waits in its channel arrives together."""

_SWAPPED: Final = 2
"""What it has used may be so many times what is resident now: the rest is swapped out."""

_SAMPLES: Final = 5
"""How many of its last figures of memory are kept."""

_keys = itertools.count(1)
_questions = itertools.count(1)


@dataclass(slots=True)
class WorkerHandle:
    """One worker; times in monotonic seconds."""

    number: int
    generation: int
    slot: int
    channel: Channel
    deadline: float | None  # when it is killed, because of `overdue`
    overdue: str
    key: int = field(default_factory=lambda: next(_keys))
    state: WorkerState = WorkerState.FORKING
    pid: int | None = None
    ready_at: float | None = None
    dumped_at: float | None = None  # when it was asked for its stacks, while it hangs
    stopped_at: float | None = None  # when it was first seen stopped by a signal, while it is
    switches: int = 0  # its context switches at that time
    recycle: str | None = None  # why it should be replaced
    leaves_first: bool = False  # its replacement waits until it is gone
    asked_to_go: str | None = None  # why it was drained or ended
    failure: str | None = None  # why it did not boot, or had to be ended as broken
    detail: str = ""  # the traceback's text, if there is one
    said: Said = Said.NOTHING
    cut_off: bool = False  # its channel has ended
    reports: TokenBucket = field(default_factory=lambda: TokenBucket(_REPORTS))
    incident: int | None = None  # because of which it is being ended or replaced
    leaks: list[LeakStatus] = field(default_factory=list)  # requests that make it grow
    series: MemorySeries = field(default_factory=MemorySeries)  # of its memory
    refused: tuple[int, ...] | None = (0,) * len(REFUSED)  # requests, at the last look; None if not known
    memory: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_SAMPLES))  # when, bytes
    stacks: Stacks | None = None  # if it has a pipe of its own for them
    dump: str = ""  # what it wrote of a fatal error
    question: int = 0  # the one about its threads that it has not answered yet
    samples: bool = False  # it understands SampleThreads
    quarantines: bool = False  # and Quarantine
    quarantine: dict[str, float] = field(default_factory=dict)  # which it was told last
    told: list[ThreadsAt] = field(default_factory=list)  # what it has answered so far
    counts: Counts = field(default_factory=Counts)  # the most that it has counted at any look
    paths: bytes = b""  # its table of these, as far as it is believed
    kinds: bytes = b""  # its table of these, at the last look
    cpu: float | None = None  # of the last look: CPU seconds a second, None before the second one
    cpu_seconds: float | None = None  # what it has spent since its start, at the last look
    cause: Cause | None = None  # of `recycle` and `asked_to_go`, if that was not planned
    pss: int | None = None  # bytes, if somebody has asked lately
    lost: int = 0  # requests that it had in hand at its end
    pss_at: float = 0.0  # when that was measured
    may_grow: bool | None = False  # what it was told last; None if it may not understand that
    drawn: float = field(default_factory=random.random)  # from 0 to 1: when it is due
    _spent: tuple[float, float] | None = None  # the CPU seconds until then, and when that was

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
            refused=held.refused,
            stacks=None if held.stacks is None else Stacks(held.stacks),
            question=held.question,
            samples=held.samples,
            quarantines=held.quarantines,
            counts=held.counts,
            cause=held.cause,
            paths=held.paths,
            kinds=held.kinds,
            leaks=held.leaks,
            series=held.series,
            leaves_first=held.leaves_first,
            cpu_seconds=held.cpu_seconds,
            may_grow=held.may_grow,
        )

    def hold(self) -> HeldWorker:
        """What the next program of this process needs to know of it."""
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
            stacks=None if self.stacks is None else self.stacks.fd,
            question=self.question,
            refused=self.refused,
            samples=self.samples,
            quarantines=self.quarantines,
            counts=self.counts,
            cause=self.cause,
            paths=self.paths.rstrip(b"\0"),
            kinds=self.kinds.rstrip(b"\0"),
            leaks=self.leaks,
            series=self.series,
            leaves_first=self.leaves_first,
            cpu_seconds=self.cpu_seconds,
            may_grow=self.may_grow,
        )

    def apply(self, event: WorkerEvent) -> None:
        """Move to the next state. Raises ImpossibleEvent."""
        self.state = states.after(states.WORKER, self.state, event)

    def heard(self, word: Word, sender: int, is_free: Callable[[int], bool]) -> None:
        """Its next word, which may say which process it is: `is_free` as for hearing.beginner. Raises
        Forged."""
        if self.pid is None:
            self.pid = hearing.beginner(word, sender=sender, is_free=is_free)
        self.said = hearing.after(hearing.WORKER, self.said, word, sender=sender, of=self.pid)
        if isinstance(word, ThreadsAt):
            self._answer(word, sender)
        elif isinstance(word, Ready):
            self.samples, self.quarantines = word.samples, word.quarantines

    def is_called(self, word: str) -> bool:
        """Whether an operator's word means it: its number, or its process id."""
        return word == str(self.number) or (self.pid is not None and word == str(self.pid))

    def ask(self) -> list[ThreadsAt] | None:
        """Ask what its threads do, unless it still owes an answer to that. Returns where the answer will be,
        its last message at the end; None if it cannot be asked: it was started by an earlier program of the
        master, or does not listen."""
        if self.stacks is None:
            return None
        if not self.question:
            question = next(_questions)
            try:
                self.channel.send(TellThreads(question))
            except (BlockingIOError, Closed):
                return None
            self.question, self.told = question, []
        return self.told

    def _answer(self, word: ThreadsAt, sender: int) -> None:
        """Raises Forged."""
        due = self.question and word.question == self.question
        if not due or len(self.told) >= MOST_ANSWERS:
            raise Forged("ThreadsAt without a question", sender)
        self.told.append(word)
        if word.last:
            self.question, self.told = 0, []

    def take_over(self, pid: int) -> None:
        """It is the process of a mold, which becomes the worker."""
        self.pid = pid

    def ready(self, now: float) -> None:
        """It says that it serves; if it was told to go meanwhile, it drains."""
        self.apply(WorkerEvent.READY)
        if self.state is WorkerState.SERVING:
            self.ready_at = now
            self.deadline = None

    def fail(self, reason: str, detail: str = "") -> None:
        """Why it does not boot, or has to be ended as broken."""
        self.failure, self.detail = reason, detail

    def break_off(self, reason: str, pid: int | None) -> None:
        """It has sent an impossible message, and is not listened to any more; `pid` is its process if it had
        not begun."""
        self.channel.ended = True
        self.pid = pid if self.pid is None else self.pid
        self.failure = reason

    def replace(self, reason: str, cause: Cause, *, leaves_first: bool = False) -> None:
        """It should be replaced, for this reason."""
        self.recycle, self.cause, self.leaves_first = reason, cause, leaves_first

    def ask_to_go(self, reason: str, cause: Cause | None = None) -> None:
        """It is being drained or ended; the first reason counts. What is planned has no cause: one for which
        it was to be replaced before is that of this end only if it is the reason."""
        if self.asked_to_go is None:
            self.cause = cause or (self.cause if reason == self.recycle else None)
            self.asked_to_go = reason

    def hangs(self, now: float) -> None:
        """It hangs, and is asked for its stacks."""
        self.dumped_at = now

    def goes_because_of(self, incident: int | None) -> None:
        """It is ended or replaced because of this; the first one counts."""
        self.incident = self.incident or incident

    def uses(self, memory: int, now: float) -> None:
        """So many bytes."""
        self.memory.append((now, memory))

    def can_have_grown(self, by: float) -> bool:
        """Whether it has so many bytes at all."""
        return bool(self.memory) and by <= _SWAPPED * max(used for _, used in self.memory)

    def served(self, now: float) -> float:
        """For how many seconds it serves."""
        return 0.0 if self.ready_at is None else now - self.ready_at

    def measured(self, figures: Figures) -> None:
        """A look at its memory."""
        self.series.add(figures)

    def answers(self) -> None:
        """It does not hang, or no longer."""
        self.dumped_at = None

    def seen(self, now: float, switches: int | None) -> None:
        """A look from outside: its context switches if a signal has stopped it, else None. Stopping and
        continuing it all the time, as cpulimit(1) does, is allowed: then it has run between two looks."""
        _see(self, now, switches)

    def counted(self, counts: Counts) -> None:
        """A look at the scoreboard. What it has counted before stays counted."""
        self.counts = self.counts.highest(counts)

    def spent(self, now: float, seconds: float | None) -> None:
        """A look from outside: the CPU seconds that it has spent since its start, None if that is not
        known."""
        if seconds is None:
            self.cpu = self._spent = None
            return
        self.cpu_seconds = max(seconds, self.cpu_seconds or 0.0)
        if self._spent is not None and now > self._spent[1]:
            self.cpu = max(0.0, seconds - self._spent[0]) / (now - self._spent[1])
        self._spent = seconds, now

    def shares(self, now: float, pss: int | None) -> None:
        """A look from outside: its memory, of which shared pages count in part. None if nobody wants to
        know."""
        self.pss, self.pss_at = pss, now

    def cut(self, now: float) -> None:
        """Its channel has ended: it is exiting, or it closed the channel but keeps running."""
        if not self.cut_off:
            self.cut_off = True
            self.give_until(now + GRACE, "closed its channel but keeps running")

    def give_until(self, deadline: float, overdue: str) -> None:
        """Kill it then, because of `overdue`. Never postponed if it is cut off."""
        if not self.cut_off or self.deadline is None or deadline < self.deadline:
            self.deadline, self.overdue = deadline, overdue

    def killed(self, now: float) -> None:
        """It has been sent SIGKILL, or there is no process yet to send it to."""
        self.deadline, self.overdue = now + GRACE, "killed, but still there"

    def signal(self, number: int) -> None:
        """Send it a signal, once it is a process: our child and not reaped, so the process id is its own."""
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
            leaves_first=self.leaves_first,
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
    harmless: bool = False  # its import left nothing but memory
    hazards: list[str] = field(default_factory=list)  # why it must not be forked, but become a worker
    failure: str | None = None  # why it did not load
    detail: str = ""  # the traceback's text, if there is one
    said: Said = Said.NOTHING
    garbled: int = 0  # packets that were no messages
    stopped_at: float | None = None  # when it was first seen stopped by a signal, while it is
    switches: int = 0  # its context switches at that time
    reports: TokenBucket = field(default_factory=lambda: TokenBucket(_REPORTS))
    pipes: bool = True  # it takes a pipe for the stacks of each worker

    @classmethod
    def restore(cls, held: HeldMold) -> MoldHandle:
        return cls(
            pid=held.pid,
            channel=Channel.of(held.channel),
            loaded=held.loaded,
            hazards=held.hazards,
            failure=held.failure,
            detail=held.detail,
            said=held.said,
            pipes=held.pipes,
        )

    def hold(self) -> HeldMold:
        return HeldMold(
            pid=self.pid,
            channel=self.channel.held(),
            loaded=self.loaded,
            hazards=self.hazards,
            failure=self.failure,
            detail=self.detail,
            said=self.said,
            pipes=self.pipes,
        )

    def heard(self, word: Word, sender: int) -> None:
        """Its next word. Raises Forged."""
        self.said = hearing.after(hearing.MOLD, self.said, word, sender=sender, of=self.pid)

    def ask(self, request: Fork | Become, threads: int) -> tuple[Channel, Stacks | None]:
        """Ask for a worker with so many threads; returns our ends of its channel and of its pipe for stacks,
        if it `pipes`. Raises OSError, BlockingIOError or Closed, with nothing left open."""
        channel, theirs = Channel.pair()
        with contextlib.ExitStack() as undone, theirs:
            undone.callback(channel.close)
            stacks = Stacks.pipe(threads) if request.stacks else None
            if stacks is not None:
                undone.callback(stacks.close)
            self.channel.send(request, [theirs.fileno(), *([] if stacks is None else [stacks.end])])
            undone.pop_all()
        if stacks is not None:
            stacks.pass_on()
        return channel, stacks

    def is_heard(self) -> bool:
        """Whether it has not been dismissed, which closes its channel."""
        return self.channel.fileno() >= 0

    def can_be_forked(self, *, harmless: bool) -> None:
        """It has loaded; `harmless` if the import left nothing but memory."""
        self.loaded, self.harmless = True, harmless

    def must_become(self, hazards: list[str]) -> None:
        """It has loaded, but because of these it can only become a worker itself."""
        self.loaded, self.hazards = True, hazards

    def fail(self, reason: str, detail: str = "") -> None:
        """It could not load, for this reason."""
        self.failure, self.detail = reason, detail

    def garble(self) -> bool:
        """It has sent something that is not a message. Whether to forgive it: a few are forgiven, because the
        number of its channel has other meanings elsewhere, under s6 for example, and an application may write
        to it."""
        self.garbled += 1
        return self.garbled <= _GARBLED

    def break_off(self, reason: str) -> None:
        """It has sent an impossible message, is not listened to any more, and is of no use."""
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
