"""The one place where decisions are carried out on molds and workers. The target of an action may be gone by
now, or on its way out: then there is nothing to do.
"""

from __future__ import annotations

import signal
import time

from superwsgi.log.rate_limit import Repeats
from superwsgi.log.spelling import duration
from superwsgi.master.context import MasterContext
from superwsgi.master.generations import record
from superwsgi.master.generations.children import Children, MoldOf
from superwsgi.master.generations.generation import CannotFork, Generation
from superwsgi.master.generations.generations import Generations
from superwsgi.master.policy.actions import (
    Action,
    DismissMold,
    DrainWorker,
    DumpWorker,
    EndMold,
    ForkWorker,
    KillBroken,
    KillWorker,
    MoldAction,
    RecycleWorker,
    RemindWorker,
    ReplaceMold,
    StartMold,
    WorkerAction,
)
from superwsgi.master.policy.causes import PLANNED, Cause
from superwsgi.master.policy.limits.heartbeat import SECOND_LOOK
from superwsgi.master.processes import launch
from superwsgi.master.processes.handles import MoldHandle, WorkerHandle
from superwsgi.master.states import WorkerEvent, WorkerState
from superwsgi.system.privileges import PrivilegeError

_BOOTING = "still booting"

_AGAIN = 1.0
"""Seconds before a failed fork is tried again."""


class Deeds:
    """`children` listens to everything that it starts."""

    def __init__(
        self, context: MasterContext, generations: Generations, children: Children, agenda: list[Action]
    ) -> None:
        self._loop = context.loop
        self._errors = context.errors
        self._incidents = context.incidents
        self._generations = generations
        self._children = children
        self._agenda = agenda
        self._repeats = Repeats()

    def do(self, action: Action, now: float) -> None:
        generation = self._generations.find(action.generation)
        if generation is None:
            return
        if isinstance(action, StartMold):
            self._start_mold(generation, now)
        elif isinstance(action, ReplaceMold):
            self._replace_mold(generation, action, now)
        elif isinstance(action, EndMold | DismissMold):
            mold = generation.mold
            if mold is not None and mold.pid == action.pid:
                self._do_to_mold(generation, mold, action, now)
        elif isinstance(action, ForkWorker):
            self._fork(generation, action.number, now)
        else:
            worker = generation.worker(action.worker)
            if worker is not None:
                self._do_to_worker(generation, worker, action, now)

    def _do_to_worker(
        self, generation: Generation, worker: WorkerHandle, action: WorkerAction, now: float
    ) -> None:
        if isinstance(action, DrainWorker):
            self._drain(generation, worker, action, now)
        elif isinstance(action, KillWorker):
            self._kill(generation, worker, action, now)
        elif isinstance(action, KillBroken):
            generation.kill(worker, "broken", now, Cause.BROKEN)
        elif isinstance(action, RemindWorker):
            worker.signal(signal.SIGTERM)
        elif isinstance(action, RecycleWorker):
            self._recycle(worker, action)
        elif isinstance(action, DumpWorker):
            self._dump(generation, worker, action.reason, now)

    # Molds.

    def _do_to_mold(self, generation: Generation, mold: MoldHandle, action: MoldAction, now: float) -> None:
        if isinstance(action, EndMold):
            generation.lose_mold(mold, action.reason)
        else:
            generation.dismiss_mold(now)
            generation.hurry_mold(now, 0.0)

    def _start_mold(self, generation: Generation, now: float) -> None:
        if generation.mold is not None or generation.is_leaving():
            return
        try:
            mold = generation.start_mold()
        except (OSError, PrivilegeError) as error:
            self._not_started(generation, f"cannot start a mold: {launch.why(error)}")
            return
        self._children.listen_to_mold(generation, mold)
        boot = generation.site.timeouts.boot
        self._loop.call_at(now + boot - _to_write(boot), lambda _: self._ask_slow_mold(generation, mold))
        self._loop.call_at(now + boot, lambda _: self._check_loaded(generation, mold))

    def _not_started(self, generation: Generation, reason: str) -> None:
        if generation is self._generations.candidate:
            generation.spoil(reason)
        else:
            self._agenda.append(ReplaceMold(generation.number, reason, ""))

    def _replace_mold(self, generation: Generation, action: ReplaceMold, now: float) -> None:
        """A generation that serves goes on with its workers meanwhile."""
        wait = generation.crashes.count_mold(now)
        then = f"{'workers keep serving; ' if generation.workers else ''}a new mold in {duration(wait)}"
        log = self._errors.bind(gen=generation.number)
        level, more = self._repeats.told("error", (generation.number, action.reason), int(now * 1e9))
        number = log.incident(level, "mold lost", action.detail, reason=action.reason, **more, next=then)
        self._incidents.misses(MoldOf(generation.number), number)
        self._loop.call_at(now + wait, lambda _: self._agenda.append(StartMold(generation.number)))

    def _ask_slow_mold(self, generation: Generation, mold: MoldHandle) -> None:
        if generation.mold is mold and not mold.loaded:
            self._say_slow(generation, None, {"gen": generation.number, "pid": mold.pid})

    def _check_loaded(self, generation: Generation, mold: MoldHandle) -> None:
        if generation.mold is mold and not mold.loaded:
            late = f"not loaded after {duration(generation.site.timeouts.boot)} (timeouts.boot)"
            reason = self._generations.explain_wait(generation, mold.pid, late)
            generation.lose_mold(mold, reason)

    # Workers.

    def _fork(self, generation: Generation, number: int, now: float) -> None:
        if not generation.can_fork():  # its mold has become the worker before this one
            return
        try:
            worker = generation.fork(number, now, self._generations.quarantine)
        except CannotFork as error:
            generation.crashes.put_off(now + _AGAIN)
            log = self._errors.bind(worker=number, gen=generation.number)
            then = f"tried again in {duration(_AGAIN)}"
            level, more = self._repeats.told("warning", (number, str(error)), int(now * 1e9))
            incident = log.incident(level, "not forked", reason=str(error), **more, next=then)
            self._incidents.misses(number, incident)
            return
        self._children.listen_to_worker(generation, worker)
        boot = generation.site.timeouts.boot
        self._loop.call_at(now + boot - _to_write(boot), lambda _: self._ask_slow_worker(generation, worker))
        if generation.mold is None:  # it has become this worker
            self._start_mold(generation, now)

    def _ask_slow_worker(self, generation: Generation, worker: WorkerHandle) -> None:
        if worker.state in (WorkerState.FORKING, WorkerState.BOOTING):
            self._say_slow(generation, worker, worker.who())

    def _say_slow(self, generation: Generation, worker: WorkerHandle | None, who: dict[str, object]) -> None:
        """And ask for its stacks, unless they have been told often enough."""
        key = generation.number, None if worker is None else worker.number, _BOOTING
        level, more = self._repeats.told("warning", key, time.monotonic_ns())
        if level == "warning":
            log = self._errors.bind(**who)
            log.warning(_BOOTING, **more, next="its stacks follow; killed at timeouts.boot")
            self._children.dumps.ask(generation, worker, _BOOTING)

    def _drain(self, generation: Generation, worker: WorkerHandle, action: DrainWorker, now: float) -> None:
        if worker.can(WorkerEvent.DRAIN):
            self._errors.bind(**worker.who()).info("draining", reason=action.reason)
            self._tell_to_go(generation, worker, action.reason, now, last=action.last)

    def _tell_to_go(
        self, generation: Generation, worker: WorkerHandle, reason: str, now: float, *, last: bool
    ) -> None:
        """Drain a worker, after hearing whether it serves by now."""
        self._children.hear_worker(generation, worker, now)
        if worker.can(WorkerEvent.DRAIN):
            generation.drain(worker, reason, now, last=last)

    def _kill(self, generation: Generation, worker: WorkerHandle, action: KillWorker, now: float) -> None:
        if worker.state is WorkerState.ENDING and worker.deadline is not None and now < worker.deadline:
            return  # for another reason, or just now
        reason = action.reason
        if worker.pid is not None and worker.state is WorkerState.BOOTING:
            reason = self._generations.explain_wait(generation, worker.pid, reason)
        log = self._errors.bind(**worker.who())
        if worker.incident is None:
            self._children.goes(worker, log.warning("killed", reason=reason))
        else:
            log.notice("killed", reason=reason, incident=worker.incident)
        generation.kill(worker, reason, now, action.cause)

    def _recycle(self, worker: WorkerHandle, action: RecycleWorker) -> None:
        if action.cause in PLANNED:
            self._children.is_due(worker, action.reason, action.cause)
        else:
            self._children.recycle(worker, action.reason, action.cause, leaves_first=action.leaves_first)

    def _dump(self, generation: Generation, worker: WorkerHandle, reason: str, now: float) -> None:
        if worker.state is WorkerState.SERVING:
            worker.hangs(now)
            then = f"its stacks follow; killed unless it recovers within {duration(SECOND_LOOK)}"
            log = self._errors.bind(**worker.who())
            in_hand = record.in_hand(generation.board.in_hand(worker.slot), now)
            self._children.goes(worker, log.error("hangs", reason=reason, in_hand=in_hand, next=then))
            self._children.dumps.ask(generation, worker, "hangs")

    # All of them: the site stops.

    def stop(self, generation: Generation, reason: str, now: float, *, fast: bool) -> None:
        """End all processes of a generation, politely or at once."""
        generation.retire(now)
        if fast:
            generation.hurry_mold(now, 0.0)
        for worker in list(generation.workers.values()):
            if fast:
                generation.end(worker, reason, now)
            elif worker.state is WorkerState.DRAINING:
                generation.tell_to_drain(worker, now, last=True)
            elif worker.state is not WorkerState.ENDING:
                self._tell_to_go(generation, worker, reason, now, last=True)


def _to_write(boot: float) -> float:
    """Seconds before the end of timeouts.boot in which a process still booting can write its stacks."""
    return min(0.5, boot / 4)
