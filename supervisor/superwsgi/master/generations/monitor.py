"""Watches the processes from outside: with psutil their memory and whether they run, on the scoreboard their
heartbeat. What follows from what it sees is decided in policy/: memory.py, heartbeat.py, stopped.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import psutil

from superwsgi.log.rate_limit import Complaint
from superwsgi.log.spelling import duration
from superwsgi.master.eventloop import EventLoop
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.rollout import RollOut
from superwsgi.master.policy import heartbeat, memory, stopped
from superwsgi.master.processes.handles import MoldHandle, WorkerHandle
from superwsgi.master.sockets import sockets
from superwsgi.master.sockets.binding import BindError
from superwsgi.master.sockets.listener import Fault, Listener
from superwsgi.master.states import WorkerState

Kill = Callable[[Generation, WorkerHandle, str, float], None]


class Monitor:
    """`kill` ends a worker for a reason; `interval` is asked for the seconds until the next look."""

    def __init__(
        self, rollout: RollOut, loop: EventLoop, *, kill: Kill, interval: Callable[[], float]
    ) -> None:
        self._rollout = rollout
        self._loop = loop
        self._kill = kill
        self._interval = interval
        self._not_mended = Complaint(
            lambda *said, **words: rollout.errors.error(*said, **words), "listener broken"
        )

    def begin(self, now: float) -> None:
        """Look from now on."""
        self.look(now)
        self._look_for_stopped(now)

    def look(self, now: float) -> None:
        """Look at every worker, now and from now on."""
        self._loop.call_at(now + self._interval(), self.look)
        self._look_at_listeners(now)
        for generation in self._rollout:
            for worker in list(generation.workers.values()):
                self._judge_heartbeat(generation, worker, now)
                if generation.memory:
                    self._judge_memory(generation, worker, now)

    def _look_at_listeners(self, now: float) -> None:
        """Those of what serves."""
        current = self._rollout.current
        if current is None or current.is_leaving():
            return
        for listener in list(current.listeners):
            faults = listener.faults()
            if faults:
                why = " and ".join(fault.value for fault in faults) + " by the application"
                self._mend(current, listener, faults, why, now)

    def _mend(
        self, current: Generation, listener: Listener, faults: list[Fault], why: str, now: float
    ) -> None:
        try:
            mended = sockets.mend(listener, faults, current.site)
        except BindError as error:
            self._not_mended.make(
                int(now * 1e9), address=listener, reason=f"{why}; {error}", next="tried again"
            )
            return
        replaced = mended is not listener
        following = "bound anew, its workers are recycled" if replaced else "mended"
        self._rollout.errors.error("listener broken", address=listener, reason=why, next=following)
        if replaced:
            self._rollout.relisten(listener, mended, f"its listener was {why}")

    def _look_for_stopped(self, now: float) -> None:
        self._loop.call_at(now + stopped.LOOK, self._look_for_stopped)
        for generation in self._rollout:
            mold = generation.mold
            if mold is not None and _is_lost(mold, now):
                generation.lose_mold(mold, stopped.spell(mold.stopped_at or now, now))
            for worker in list(generation.workers.values()):
                if worker.state is not WorkerState.ENDING and _is_lost(worker, now):
                    self._kill(generation, worker, stopped.spell(worker.stopped_at or now, now), now)

    def _judge_heartbeat(self, generation: Generation, worker: WorkerHandle, now: float) -> None:
        if worker.state is not WorkerState.SERVING:  # others have a deadline
            return
        beat, busy = generation.board.pulse(worker.slot)
        silent = now - max(beat, worker.ready_at or now)
        limit = heartbeat.limit(generation.site.timeouts.request, busy=busy)
        dumped_ago = None if worker.dumped_at is None else now - worker.dumped_at
        verdict = heartbeat.judge(silent, limit, dumped_ago)
        if verdict is heartbeat.Verdict.KILL:
            self._kill(generation, worker, heartbeat.spell(silent), now)
        elif verdict is heartbeat.Verdict.DUMP:
            worker.dumped_at = now
            then = f"its stacks follow; killed unless it goes on within {duration(heartbeat.SECOND_LOOK)}"
            log = self._rollout.errors.bind(**worker.who())
            log.error("hangs", reason=heartbeat.spell(silent), next=then)
            generation.ask_for_stacks(worker)
        elif verdict is heartbeat.Verdict.FINE:
            worker.dumped_at = None

    def _judge_memory(self, generation: Generation, worker: WorkerHandle, now: float) -> None:
        limits = generation.memory
        used = memory_used(worker.pid, limits.measure) if worker.pid is not None else None
        if used is None or worker.state is WorkerState.ENDING:
            return
        verdict = limits.judge(used)
        if verdict is memory.Verdict.KILL:
            self._kill(generation, worker, limits.spell(used, verdict), now)
        elif verdict is memory.Verdict.RECYCLE and not worker.recycle and worker.state is WorkerState.SERVING:
            worker.recycle = limits.spell(used, verdict)
            log = self._rollout.errors.bind(**worker.who())
            log.warning("to be recycled", reason=worker.recycle, next="drained once its replacement serves")


def _is_lost(process: MoldHandle | WorkerHandle, now: float) -> bool:
    """Note since when it has been stopped, and decide. Whoever stops and continues it all the time, as
    cpulimit(1) does, may do so: then it has run between two looks."""
    switches = None if process.pid is None else switches_when_stopped(process.pid)
    if switches is None:
        process.stopped_at = None
    elif process.stopped_at is None or switches != process.switches:
        process.stopped_at, process.switches = now, switches
    return stopped.is_lost(process.stopped_at, now)


def switches_when_stopped(pid: int) -> int | None:
    """How often the main thread of a process has been put aside, where a signal has stopped it (T, and not t:
    proc_pid_stat(5)); else None."""
    try:
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_STOPPED:
            return None
        return sum(process.num_ctx_switches())
    except NotImplementedError:  # a kernel that does not count
        return 0
    except (psutil.Error, OSError):
        return None


def memory_used(pid: int, measure: Literal["rss", "pss", "uss"]) -> int | None:
    """Bytes that a process uses: resident, proportional (shared pages divided) or unique.

    None once it is gone, or where the kernel does not let us look.
    """
    try:
        process = psutil.Process(pid)
        if measure == "rss":
            return int(process.memory_info().rss)
        return int(getattr(process.memory_full_info(), measure))
    except (psutil.Error, OSError):  # no descriptor left to look with, say
        return None
