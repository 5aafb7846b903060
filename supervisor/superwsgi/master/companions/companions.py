"""All companions: which there should be follows the generation that serves, so a reload touches them when it
is confirmed, and one that fails does not. In each turn policy.py decides and this module acts; nothing waits.
"""

from __future__ import annotations

import contextlib
import math
import signal
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final

from superwsgi.config.parts.companions import CompanionSettings
from superwsgi.config.schema import Site
from superwsgi.log.error import ErrorLog
from superwsgi.log.spelling import duration
from superwsgi.master.companions import kin, policy, telling
from superwsgi.master.companions.companion import Companion, CompanionProcess
from superwsgi.master.companions.policy import (
    CLEAR,
    ClearCompanion,
    CompanionStep,
    ForgetCompanion,
    KillCompanion,
    StartCompanion,
    TellCompanion,
)
from superwsgi.master.companions.starting import NotStarted, patience_of, start
from superwsgi.master.companions.states import CompanionEvent
from superwsgi.master.context import MasterContext
from superwsgi.master.generations.children import Children
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.generations import Generations
from superwsgi.master.handover import HeldCompanion
from superwsgi.master.policy.death import EARLY, Crashes
from superwsgi.master.processes.handles import GRACE
from superwsgi.master.processes.program import ExitCode
from superwsgi.system import machine

WAIT: Final = 0.2
"""Seconds between two looks at whether that of a master before this one has ended."""

BEYOND: Final = 1.0
"""Seconds between two looks at what it has left, if that is out of reach."""

_GONE: Final = "it is not in the site file any more"


class Companions:
    """Iterates over a copy."""

    def __init__(self, context: MasterContext, generations: Generations, children: Children) -> None:
        self._loop = context.loop
        self._errors = context.errors
        self._incidents = context.incidents
        self._generations = generations
        self._watch = children.watch
        self._all: dict[int, Companion] = {}  # by key
        self._settings: dict[str, CompanionSettings] = {}
        self._follows: Generation | None = None  # whose companions these are
        self._repeats = telling.Repetitions()
        self._stopping = ""  # why, if the site stops
        self._fast = False
        children.strays.spare(self.own)

    def __iter__(self) -> Iterator[Companion]:
        return iter(list(self._all.values()))

    def __bool__(self) -> bool:
        """Whether something of one runs."""
        return any(companion.lives for companion in self)

    # What there should be.

    def go_on(self, now: float) -> float | None:
        """After every turn: take all steps that are due. Returns when to ask again."""
        self._follow(self._generations.current)
        if not self._all:
            return None
        plan = policy.decide(self._views(), now)
        for step in plan.steps:
            self._loop.guard(partial(self._do, step), now, None)
        return now if plan.steps else plan.ask_at

    def _follow(self, current: Generation | None) -> None:
        """Have those of the generation that serves; a new one has new chances."""
        if current is None or current is self._follows or self._stopping:
            return
        if self._follows is not None:
            for companion in self:
                companion.crashes = Crashes()
        self._follows, self._settings = current, current.site.all_companions
        wanted = {
            (name, number)
            for name, settings in self._settings.items()
            for number in range(1, settings.count + 1)
        }
        for companion in self:
            companion.wanted = (companion.name, companion.number) in wanted
        there = {(companion.name, companion.number) for companion in self}
        for name, number in sorted(wanted - there):
            self._add(Companion(name, number))
        for companion in self:
            companion.label = self._label(companion)

    def _add(self, companion: Companion) -> None:
        self._all[companion.key] = companion

    def _label(self, companion: Companion) -> str:
        settings = self._settings.get(companion.name)
        if settings is None:
            return companion.label
        alone = settings.count == 1 and companion.number == 1
        return companion.name if alone else f"{companion.name}:{companion.number}"

    def _views(self) -> list[policy.CompanionView]:
        kept = bool(self._stopping) and not self._fast and any(self._generations.workers())
        return [each.view(self._number, kept=kept, leaves=self._stopping or _GONE) for each in self]

    def stop(self, reason: str, now: float, *, fast: bool) -> None:
        """The site stops: they go once no worker is left that could need them, or at once."""
        self._stopping = reason
        self._fast |= fast
        for companion in self:
            companion.wanted = False
            if fast and companion.deadline is not None:
                companion.deadline = min(companion.deadline, now + GRACE)

    @property
    def longest(self) -> float:
        """Seconds that they may take to end."""
        return max((each.process.patience for each in self if each.process is not None), default=0.0)

    # What is done.

    def _do(self, step: CompanionStep, now: float) -> None:
        companion = self._all[step.key]
        match step:
            case StartCompanion():
                self._start(companion, now)
            case TellCompanion():
                with self._reach(companion):
                    self._tell(companion, step.reason, now)
            case KillCompanion():
                self._kill_late(companion)
            case ClearCompanion():
                self._clear(companion, now)
            case ForgetCompanion():
                del self._all[companion.key]

    def _start(self, companion: Companion, now: float) -> None:
        assert self._follows is not None
        settings = self._settings[companion.name]
        if not companion.alone and self._waits(companion, self._follows.site, now):
            return
        try:
            process = start(companion, settings, self._follows, self._loop, now)
        except NotStarted as error:
            companion.crashes.count(None, now, failed=True)
            companion.trouble = str(error)
            reason = str(error)
            self._accuse(companion, "companion not started", now, **{**error.more, "reason": reason})
            return
        companion.started(process)
        self._watch(process.pid, lambda code, at: self._ended(companion, code, at))
        self._listen(companion)
        if not companion.hushed:
            self._say(companion).info("companion started", gen=process.generation)
        if companion.incident is not None:
            self._incidents.ends(companion.incident, f"started again as pid {process.pid}")
            companion.incident = None

    def _waits(self, companion: Companion, site: Site, now: float) -> bool:
        """For what still runs of a master that was killed: the kernel has told it to end."""
        left = kin.orphans(site.name, companion.name, companion.number)
        companion.alone = not left
        if companion.alone:
            companion.deadline = None
            return False
        patience = patience_of(self._settings[companion.name], site)
        companion.crashes.fork_at = now + WAIT
        if companion.deadline is None:
            companion.deadline = now + patience
            self._say(companion).warning(
                "companion not started yet",
                reason=f"{_pids(left)} of a master that is gone still runs",
                next=f"started once that has ended; it is killed after {duration(patience)}",
            )
        elif now >= companion.deadline:
            companion.deadline = math.inf
            beyond = kin.kill_orphans(left, site.name, companion.name, companion.number)
            then = f"left alone: end {_pids(beyond)}" if beyond else "started"
            reason = f"{_pids(left)} of a master that is gone has not ended within {duration(patience)}"
            self._say(companion).warning("companion killed", reason=reason, next=then)
        return True

    def _listen(self, companion: Companion) -> None:
        output = None if companion.process is None else companion.process.output
        if output is not None:
            output.tell(partial(self._errors.application, "pipe", companion=companion.label))

    def _tell(self, companion: Companion, reason: str, now: float) -> None:
        assert companion.process is not None
        patience = self._patience(companion.process)
        number = companion.process.settings.signal
        self._say(companion).info("companion told to end", reason=reason, signal=number)
        companion.tell(reason, now + patience)

    def _patience(self, process: CompanionProcess) -> float:
        return min(GRACE, process.patience) if self._fast else process.patience

    def _kill_late(self, companion: Companion) -> None:
        assert companion.process is not None
        after = duration(self._patience(companion.process))
        key = "" if self._fast else f" (graceful of companion {companion.name})"
        self.kill(companion, f"not ended {after} after SIG{companion.process.settings.signal}{key}")

    def kill(self, companion: Companion, reason: str) -> None:
        """Kill its process, which is an incident; one that is being killed is left alone."""
        if not companion.can(CompanionEvent.KILL):
            return
        then = "started again" if companion.wanted else "it is not started again"
        companion.incident = self._say(companion).warning("companion killed", reason=reason, next=then)
        with self._reach(companion):
            companion.kill(reason)

    @contextlib.contextmanager
    def _reach(self, companion: Companion) -> Iterator[None]:
        """A program that has become another user is beyond a master that is not root (kill(2))."""
        try:
            yield
        except PermissionError:
            self._is_beyond(companion, "it runs as another user, whom this one may not signal", "it")

    def _is_beyond(self, companion: Companion, reason: str, what: str) -> None:
        """Nobody waits for it when the site stops, and no other is started until it has ended."""
        if companion.process is not None and not companion.process.beyond:
            companion.process.beyond = True
            then = f"left alone: end {what}"
            self._say(companion).error("companion out of reach", reason=reason, next=then)

    # How it ends.

    def _ended(self, companion: Companion, code: ExitCode, now: float) -> None:
        """Not reaped yet."""
        process = companion.process
        assert process is not None
        if process.output is not None:
            process.output.hear_all()  # what it has said comes before the line about its end
            process.output.close()
        left = kin.left_by(process.pid, companion.marked())
        memory_ran_out = code == -signal.SIGKILL and self._incidents.claim_kill(machine.out_of_memory_kills())
        served = now - process.began
        end = telling.End(process, code, served, tuple(left), memory_ran_out=memory_ran_out)
        if not end.asked or process.ails:
            companion.restarts += 1
            companion.crashes.count(served, now, failed=False)
        self._note(companion, end, now)
        companion.exited(now)
        kin.send(signal.SIGTERM, left, process.pid, companion.marked())
        self._clear(companion, now)

    def _note(self, companion: Companion, end: telling.End, now: float) -> None:
        companion.trouble = end.how if not end.asked and end.served < EARLY else ""
        log, incident = self._say(companion), companion.incident
        if end.is_expected:
            log.info("companion ended", **end.fields(), next=self._then(companion, now))
        else:
            incident = self._accuse(companion, "companion died", now, **end.fields())
            companion.incident = incident
        companion.last_end = now, end.cause, incident or 0

    def _accuse(self, companion: Companion, event: str, now: float, **fields: object) -> int | None:
        """Log what is wrong with it. Returns the number of the incident."""
        what = event, fields.get("how"), fields.get("reason")
        level, more = self._repeats.level(companion, self._number, "error", what, now)
        then = self._then(companion, now)
        return self._say(companion).incident(level, event, **fields, **more, next=then)

    @property
    def _number(self) -> int:
        return 0 if self._follows is None else self._follows.number

    def _then(self, companion: Companion, now: float) -> str:
        return self._again(companion, now) if companion.wanted else "it is not started again"

    def _again(self, companion: Companion, now: float) -> str:
        wait = companion.crashes.fork_at - now
        return f"started again in {duration(wait)}" if wait > 0 else "started again"

    def _clear(self, companion: Companion, now: float) -> None:
        """End what it has left; its place is free once all of that has ended."""
        process = companion.process
        assert process is not None
        left = kin.left_by(process.pid, companion.marked())
        if not left:
            companion.cleared()
            return
        companion.look_at = now + (BEYOND if process.beyond else CLEAR)
        if companion.deadline is not None and now >= companion.deadline:
            others = kin.send(signal.SIGKILL, left, process.pid, companion.marked())
            if others:
                reason = "what it has started runs as another user, whom this one may not signal"
                self._is_beyond(companion, reason, _pids(others))

    # For others.

    def own(self, pids: Iterable[int]) -> set[int]:
        """Which of these processes are companions', and so nobody's strays."""
        known = [(each.process.pid, each.marked()) for each in self if each.process is not None]
        return {pid for pid in pids if any(kin.belongs(pid, *companion) for companion in known)}

    def meant(self, word: str) -> list[Companion]:
        """Those that an operator means."""
        return [companion for companion in self if companion.is_called(word)]

    def hold(self) -> list[HeldCompanion]:
        """What the next program of this process needs to know of them."""
        return [companion.hold() for companion in self]

    def adopt(self, held: Iterable[HeldCompanion]) -> None:
        """Go on with those of an earlier program of this process."""
        for each in held:
            companion = Companion.restore(each, self._loop)
            self._add(companion)
            self._listen(companion)
            if companion.pid is not None:
                self._watch(companion.pid, self._when_ended(companion))

    def _when_ended(self, companion: Companion) -> Callable[[ExitCode, float], None]:
        return lambda code, at: self._ended(companion, code, at)

    def _say(self, companion: Companion) -> ErrorLog:
        return self._errors.bind(**companion.who())


def _pids(pids: list[int]) -> str:
    return f"pid {', '.join(map(str, pids))}"
