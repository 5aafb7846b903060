"""Watches the processes from outside: with psutil their memory and whether they run, on the scoreboard their
heartbeat and their threads. What follows is decided in policy/ (memory.py, age.py, heartbeat.py, stopped.py)
and put on the agenda; that threads are short (shortage.py) is only logged, and what they spend and count only
noted.
"""

from __future__ import annotations

from typing import Final

from superwsgi.board.counts import REFUSED
from superwsgi.log.rate_limit import Complaint
from superwsgi.master.context import MasterContext
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.generations import Generations
from superwsgi.master.incidents.incidents import Incidents
from superwsgi.master.memory import leaks
from superwsgi.master.memory.pressure import Pressure
from superwsgi.master.memory.series import Figures
from superwsgi.master.policy import shortage
from superwsgi.master.policy.actions import Action, EndMold, KillWorker
from superwsgi.master.policy.causes import Cause
from superwsgi.master.policy.limits import age, heartbeat, stopped
from superwsgi.master.processes.handles import MoldHandle, WorkerHandle
from superwsgi.master.processes.usage import cpu_seconds, memory_figures, memory_used, switches_when_stopped
from superwsgi.master.sockets import sockets
from superwsgi.master.sockets.listener import BindError, Damage, Listener
from superwsgi.master.states import WorkerState
from superwsgi.system import machine

_STUCK: Final = 504

STOCK: Final = 1.0
"""Seconds between two looks at the CPU time of workers, which the kernel counts in steps of 10 ms."""

PSS_WANTED: Final = 60.0
"""Seconds for which the proportional memory of workers is measured after somebody has asked."""


class Monitor:
    """It puts what should be done on the `agenda`."""

    def __init__(self, context: MasterContext, generations: Generations, agenda: list[Action]) -> None:
        self._loop = context.loop
        self._errors = context.errors
        self._incidents = context.incidents
        self._generations = generations
        self._agenda = agenda
        self._not_mended = Complaint(context.errors.error, "listener broken")
        self.shortage: shortage.Shortage | None = None  # of threads, as far as it was seen
        self._short: int | None = None  # the incident
        self._looked_at = 0.0
        self._pss_until = 0.0
        self._pressure = Pressure(context, generations, agenda)

    def begin(self, now: float, seen: shortage.Shortage | None = None) -> None:
        """Start looking; `seen` is what an earlier program of this process saw last."""
        self.shortage = seen
        self.look(now)
        self._look_for_stopped(now)
        self._take_stock(now)

    def short_now(self) -> shortage.Shortage | None:
        """The shortage of threads that the last look has found, if there was one, and it is in the log."""
        seen = self.shortage
        return seen if seen is not None and seen.said and seen.last == self._looked_at else None

    def look(self, now: float) -> None:
        """Look at every worker, now and from now on."""
        self._loop.call_at(now + self._interval(), self.look)
        self._look_at_listeners(now)
        self._incidents.note_kills(machine.out_of_memory_kills())
        for generation in self._generations:
            for worker in list(generation.workers.values()):
                self._judge_heartbeat(generation, worker, now)
                self._judge_memory(generation, worker, now)
                self._judge_age(generation, worker, now)
                count_refusals(self._incidents, generation, worker)
        self._judge_threads(now)

    def _look_at_listeners(self, now: float) -> None:
        """Look at the listeners of the generations that serve. A candidate may be about to replace them."""
        current = self._generations.current
        if current is None or current.is_leaving() or self._generations.candidate is not None:
            return
        for listener in list(current.listeners):
            damage = listener.damage()
            if damage:
                why = " and ".join(each.value for each in damage)
                self._mend(current, listener, damage, why, now)

    def _mend(
        self, current: Generation, listener: Listener, damage: list[Damage], why: str, now: float
    ) -> None:
        try:
            mended = sockets.mend(listener, damage, current.site)
        except BindError as error:
            self._not_mended.make(
                int(now * 1e9), address=listener, reason=f"{why}; {error}", next="tried again"
            )
            return
        replaced = mended is not listener
        following = "bound again, its workers are recycled" if replaced else "repaired"
        self._errors.error("listener broken", address=listener, reason=why, next=following)
        if replaced:
            self._generations.relisten(listener, mended, f"its listener: {why}")

    def _interval(self) -> float:
        """Seconds until the next look."""
        serves = self._generations.current or self._generations.candidate
        return serves.site.monitor.interval if serves is not None else stopped.LOOK

    def _look_for_stopped(self, now: float) -> None:
        self._loop.call_at(now + stopped.LOOK, self._look_for_stopped)
        for generation, process in self._generations.handles():
            if process.pid is None or not _is_lost(process, now):
                continue
            reason = stopped.spell(process.stopped_at or now, now)
            if isinstance(process, MoldHandle):
                self._agenda.append(EndMold(generation.number, process.pid, reason))
            elif process.state is not WorkerState.ENDING:
                self._agenda.append(KillWorker(generation.number, process.key, reason, Cause.STOPPED))

    def _take_stock(self, now: float) -> None:
        """Note what the workers have spent and counted."""
        self._loop.call_at(now + STOCK, self._take_stock)
        for _, worker in self._generations.living():
            worker.spent(now, None if worker.pid is None else cpu_seconds(worker.pid))
            self._note_memory(worker, now)
        self._pressure.look(now)
        self._measure_pss(now)
        self._generations.totals.look(self._generations.living(), now)

    def is_memory_short(self) -> bool:
        return self._pressure.is_short

    def _note_memory(self, worker: WorkerHandle, now: float) -> None:
        last = worker.series.last
        if last is not None and last.at >= now:  # its limits have been looked at in the same moment
            return
        used = None if worker.pid is None else memory_used(worker.pid, "rss")
        if used is not None:
            worker.measured(Figures(now, used))

    def want_pss(self, now: float) -> None:
        """Somebody wants to know what of the memory is whose. That is measured for the next minute, one
        worker a second: the kernel looks at each page for it, some milliseconds for a large process."""
        self._pss_until = now + PSS_WANTED

    def _measure_pss(self, now: float) -> None:
        """Look at the worker that has not been looked at for longest; forget all once nobody asks."""
        workers = [worker for _, worker in self._generations.living() if worker.pid is not None]
        asked = self._pss_until > now
        if not asked:
            for worker in workers:
                worker.shares(worker.pss_at, None)
        looked_at = [worker for worker in workers if asked or worker.leaks or worker.series.rate()]
        if looked_at:
            worker = min(looked_at, key=lambda each: each.pss_at)
            figures = memory_figures(worker.pid or 0, now)
            worker.shares(now, figures.pss if asked and figures else None)
            if figures is not None:
                worker.measured(figures)

    def _judge_heartbeat(self, generation: Generation, worker: WorkerHandle, now: float) -> None:
        if worker.state is not WorkerState.SERVING:  # others have a deadline
            return
        if worker.stopped_at is not None:  # by a signal, which is another cause
            return
        beat, busy = generation.board.pulse(worker.slot)
        silent = now - max(beat, worker.ready_at or now)
        limit = heartbeat.limit(generation.site.timeouts.request, busy=busy)
        if silent > limit and generation.site.paths:
            in_hand = generation.board.in_flight(worker.slot)
            limit = max(limit, heartbeat.given(generation.site, [each.path for each in in_hand]))
        dumped_ago = None if worker.dumped_at is None else now - worker.dumped_at
        if silent <= limit:
            worker.answers()
        self._put(
            heartbeat.decide(
                generation.number,
                worker.key,
                silent=silent,
                limit=limit,
                dumped_ago=dumped_ago,
                green=bool(generation.site.green),
            )
        )

    def _judge_memory(self, generation: Generation, worker: WorkerHandle, now: float) -> None:
        limits = generation.memory
        used = memory_used(worker.pid, limits.measure) if worker.pid is not None else None
        if used is None:
            return
        worker.uses(used, now)
        if limits.measure == "rss":
            worker.measured(Figures(now, used))
        if worker.state is not WorkerState.ENDING:
            self._put(limits.decide(generation.number, worker.key, used, leaks.spell(worker.leaks)))

    def _judge_age(self, generation: Generation, worker: WorkerHandle, now: float) -> None:
        if worker.state is WorkerState.SERVING and worker.recycle is None:
            requests, served = generation.site.requests, now - (worker.ready_at or now)
            limit, extra = requests.age, requests.extra_age
            key, drawn = worker.key, worker.drawn
            self._put(
                age.decide(generation.number, key, served=served, limit=limit, extra=extra, drawn=drawn)
            )

    def _judge_threads(self, now: float) -> None:
        views = [
            _threads(generation, worker, now)
            for generation, worker in self._generations.workers()
            if worker.state is WorkerState.SERVING and worker.stopped_at is None
        ]
        self._looked_at = now
        self.shortage, said = shortage.judge(self.shortage, views, now)
        if isinstance(said, shortage.Begins):
            self._short = self._errors.warning("out of threads", **said.fields)
        elif said is not None:
            self._errors.info("threads free again", **said.fields)
            self._incidents.ends(self._short, f"threads were free again after {said.fields['lasted']}")

    def _put(self, action: Action | None) -> None:
        """Put an action on the agenda, if there is one."""
        if action is not None:
            self._agenda.append(action)


def _threads(generation: Generation, worker: WorkerHandle, now: float) -> shortage.ThreadsView:
    """To read a whole board costs 5 us a thread: who has free threads is not asked for more."""
    site, board = generation.site, generation.board
    if not board.is_short(worker.slot):
        return shortage.ThreadsView(0, 0, site.most_threads, site.most_threads)
    return shortage.view(board.read(worker.slot), site, worker.ready_at, now)


def _is_lost(process: MoldHandle | WorkerHandle, now: float) -> bool:
    """Note since when it has been stopped, and decide whether it is lost."""
    process.seen(now, None if process.pid is None else switches_when_stopped(process.pid))
    return stopped.is_lost(process.stopped_at, now)


def count_refusals(incidents: Incidents, generation: Generation, worker: WorkerHandle) -> None:
    """What a worker has refused since the last look at it."""
    refused = generation.board.refused(worker.slot)
    for status, before, after in zip(REFUSED, worker.refused or refused, refused, strict=True):
        if after > before and status != _STUCK:  # that is an incident of its own
            incidents.refused(worker.who(), status, after - before)
    worker.refused = refused
