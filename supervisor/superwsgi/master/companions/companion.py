"""What the master knows about one place of a companion, and about the process in it. Others read it; it is
changed only by these verbs. What should be done is decided in policy.py.
"""

from __future__ import annotations

import itertools
import os
import signal
from dataclasses import dataclass, field

from superwsgi.config.parts.companions import CompanionSettings
from superwsgi.master import states
from superwsgi.master.companions import kin
from superwsgi.master.companions.policy import CompanionView
from superwsgi.master.companions.states import COMPANION, CompanionEvent, CompanionState
from superwsgi.master.eventloop import EventLoop
from superwsgi.master.generations.pipes import Output
from superwsgi.master.handover import HeldCompanion, HeldCompanionProcess
from superwsgi.master.policy.death import EARLY, Crashes
from superwsgi.master.policy.limits.memory import MemoryLimits, in_bytes
from superwsgi.master.processes.handles import GRACE
from superwsgi.snapshot import CompanionStatus, DeathStatus
from superwsgi.system import machine

_keys = itertools.count(1)


def limits_of(settings: CompanionSettings) -> MemoryLimits:
    """How much memory one may use with all that it has started, on this machine."""
    memory, total = settings.memory, machine.memory()
    return MemoryLimits(in_bytes(memory.soft, total), in_bytes(memory.hard, total), memory.measure)


@dataclass(slots=True)
class CompanionProcess:
    """One that was started: of which generation, with which settings; it may take `patience` seconds to end,
    of which the site file says in `deadline_key`."""

    pid: int
    generation: int
    began: float
    settings: CompanionSettings
    patience: float
    limits: MemoryLimits
    output: Output | None = None
    beyond: bool = False  # it has rights that ours do not reach
    ails: bool = False  # it is ended or exchanged because something is wrong with it
    told: str = ""  # why it was told to end
    killed: str = ""  # why it had to be killed
    due: str = ""  # why it is to be exchanged, beside a new release
    stopped_at: float | None = None  # when it was first seen stopped by a signal, while it is
    switches: int = 0  # its context switches at that time

    def hold(self) -> HeldCompanionProcess:
        """What the next program of this process needs to know of it."""
        return HeldCompanionProcess(
            pid=self.pid,
            generation=self.generation,
            began=self.began,
            settings=self.settings,
            patience=self.patience,
            output=None if self.output is None else self.output.ends,
            told=self.told,
            killed=self.killed,
            due=self.due,
        )

    @classmethod
    def restore(cls, held: HeldCompanionProcess, loop: EventLoop) -> CompanionProcess:
        """One handed over by an earlier program of this process."""
        return cls(
            pid=held.pid,
            generation=held.generation,
            began=held.began,
            settings=held.settings,
            patience=held.patience,
            limits=limits_of(held.settings),
            output=None if held.output is None else Output(loop, held.output),
            told=held.told,
            killed=held.killed,
            due=held.due,
        )


@dataclass(slots=True)
class Companion:
    """Place `number` of the companion `name`; times in monotonic seconds."""

    name: str
    number: int
    label: str = ""  # how it is called: `mail`, or `mail:2` where there are several
    wanted: bool = True
    key: int = field(default_factory=lambda: next(_keys))
    state: CompanionState = CompanionState.WAITING
    process: CompanionProcess | None = None  # also while what it has started is cleared away
    crashes: Crashes = field(default_factory=Crashes)
    restarts: int = 0  # that nobody had asked for
    deadline: float | None = None  # by which it has to end
    look_at: float = 0.0  # when what it has started is looked for again
    trouble: str = ""  # why it could not be started, or how it has ended, until it runs for long enough
    last_end: tuple[float, str, int] | None = None  # when, how, and the number of the incident, or 0
    incident: int | None = None  # that is over once it runs again
    alone: bool = False  # nothing runs of a master before this one
    hushed: bool = False  # its last failure was not said, nor is the start that follows

    def apply(self, event: CompanionEvent) -> None:
        """Move to the next state. Raises ImpossibleEvent."""
        self.state = states.after(COMPANION, self.state, event)

    def can(self, event: CompanionEvent) -> bool:
        return event in COMPANION[self.state]

    def who(self) -> dict[str, object]:
        """For a line of the log."""
        pid = self.pid
        return {"companion": self.label} if pid is None else {"companion": self.label, "pid": pid}

    @property
    def pid(self) -> int | None:
        """Of its process, if that has not ended."""
        gone = self.process is None or self.state is CompanionState.CLEARING
        return None if gone or self.process is None else self.process.pid

    @property
    def lives(self) -> bool:
        """Whether something of it runs."""
        beyond = self.process is not None and self.process.beyond
        return self.state is not CompanionState.WAITING and not beyond

    def is_called(self, word: str) -> bool:
        """By its own name, that of its companion, or its process id."""
        return word in (self.label, self.name) or (self.pid is not None and word == str(self.pid))

    # Its process.

    def started(self, process: CompanionProcess) -> None:
        self.apply(CompanionEvent.STARTED)
        self.process, self.deadline = process, None

    def tell(self, reason: str, until: float) -> None:
        """Tell its process to end."""
        assert self.process is not None
        self.apply(CompanionEvent.TOLD)
        self.process.told = reason
        self.deadline = until
        self.send(signal.Signals[f"SIG{self.process.settings.signal}"])
        if self.process.stopped_at is not None:
            self.send(signal.SIGCONT)

    def kill(self, reason: str) -> None:
        """Kill its process, with the group that it leads."""
        assert self.process is not None
        self.apply(CompanionEvent.KILL)
        self.process.killed = reason
        os.killpg(self.process.pid, signal.SIGKILL)

    def send(self, number: int) -> None:
        """Signal its process, which has not been reaped."""
        if self.pid is not None:
            os.kill(self.pid, number)

    def exited(self, now: float) -> None:
        """What is left of it gets the rest of its time if it was told to end, or else a moment."""
        late = self.state is CompanionState.KILLED
        if self.state is not CompanionState.ENDING:
            self.deadline = now if late else now + GRACE
        self.apply(CompanionEvent.EXITED)
        self.look_at = now

    def cleared(self) -> None:
        self.apply(CompanionEvent.CLEARED)
        self.process, self.deadline = None, None

    def seen(self, now: float, switches: int | None) -> None:
        """A look from outside: its context switches if a signal has stopped it, else None."""
        process = self.process
        if process is None or switches is None:
            if process is not None:
                process.stopped_at = None
        elif process.stopped_at is None or switches != process.switches:
            process.stopped_at, process.switches = now, switches

    # For those who decide, and those who ask.

    def view(self, current: int, *, kept: bool, leaves: str) -> CompanionView:
        """`current` is the number of the generation that serves; why it `leaves`, where it is not wanted."""
        process = self.process
        return CompanionView(
            key=self.key,
            name=self.name,
            state=self.state,
            wanted=self.wanted,
            kept=kept,
            due=self._due(current) if self.wanted else leaves,
            began=0.0 if process is None else process.began,
            start_at=self.crashes.fork_at,
            deadline=self.deadline,
            look_at=self.look_at,
        )

    def _due(self, current: int) -> str:
        if self.process is None:
            return ""
        changed = self.process.generation != current
        return f"generation {current} has taken over" if changed else self.process.due

    def status(self, now: float, rss: int | None) -> CompanionStatus:
        process = self.process
        runs = self.pid is not None and process is not None
        return CompanionStatus(
            name=self.label,
            state=self.shown(now),
            pid=self.pid,
            generation=process.generation if process is not None else None,
            age=now - process.began if runs and process is not None else None,
            restarts=self.restarts,
            rss=rss,
            why=self._why(now),
            last_end=None if self.last_end is None else DeathStatus(*_ago(self.last_end, now)),
        )

    def shown(self, now: float) -> str:
        """Its state in a word."""
        if self.state is CompanionState.RUNNING and self.process is not None and self.process.stopped_at:
            return "stopped"
        return "crash-loop" if self.fails(now) and self.pid is None else self.state.value

    def fails(self, now: float) -> bool:
        """Whether it has not come up, time after time until a moment ago, also while it runs."""
        process = self.process if self.state is CompanionState.RUNNING else None
        stays = process is not None and now - process.began >= EARLY
        return self.wanted and bool(self.trouble) and self.crashes.looping(now) and not stays

    def recovers(self, now: float) -> bool:
        """Whether it stays, of which nothing has been said yet."""
        process = self.process
        stays = process is not None and self.pid is not None and now - process.began >= EARLY
        recovered, self.hushed = self.hushed and stays, self.hushed and not stays
        return recovered

    def _why(self, now: float) -> str:
        process = self.process
        if process is not None and self.pid is not None:
            return process.killed or process.told or process.due
        return self.trouble if self.fails(now) else ""

    def marked(self) -> dict[str, str]:
        return kin.marks(self.name, self.number)

    # An upgrade.

    def hold(self) -> HeldCompanion:
        """What the next program of this process needs to know of it."""
        return HeldCompanion(
            name=self.name,
            number=self.number,
            label=self.label,
            state=self.state,
            process=None if self.process is None else self.process.hold(),
            restarts=self.restarts,
            deadline=self.deadline,
            early=self.crashes.early,
            last_early=self.crashes.last_early,
            start_at=self.crashes.fork_at,
            trouble=self.trouble,
            last_end=self.last_end,
        )

    @classmethod
    def restore(cls, held: HeldCompanion, loop: EventLoop) -> Companion:
        """One handed over by an earlier program of this process."""
        return cls(
            name=held.name,
            number=held.number,
            label=held.label,
            state=held.state,
            process=None if held.process is None else CompanionProcess.restore(held.process, loop),
            restarts=held.restarts,
            deadline=held.deadline,
            crashes=Crashes(early=held.early, last_early=held.last_early, fork_at=held.start_at),
            trouble=held.trouble,
            last_end=held.last_end,
        )


def _ago(end: tuple[float, str, int], now: float) -> tuple[str, float, int]:
    when, how, incident = end
    return how, now - when, incident
