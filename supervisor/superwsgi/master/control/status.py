"""The site as an operator sees it: what `superwsgi status` shows, and the progress of a reload or stop.

Only reads: generations, record, scoreboards, and the workers' memory use.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from superwsgi import __version__
from superwsgi.control import DeathStatus, Progress, Snapshot, Stage, ThreadsStatus, WorkerStatus
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.generations import Generations
from superwsgi.master.generations.monitor import memory_used
from superwsgi.master.generations.record import Record
from superwsgi.master.policy import shortage
from superwsgi.master.policy.death import crash_loop
from superwsgi.master.processes.handles import WorkerHandle
from superwsgi.master.states import GenerationState, WorkerState
from superwsgi.master.systemd.report import phase

_STAGES = {
    GenerationState.PREPARING: Stage.PREPARING,
    GenerationState.WAITING: Stage.MAKING_ROOM,
    GenerationState.LOADING: Stage.LOADING,
}
_MISSING = "missing"
_CRASH_LOOP = "crash-loop"


def snapshot(
    generations: Generations,
    record: Record,
    *,
    name: str,
    file: str | None,
    began: float,
    stopping: bool,
    now: float,
) -> Snapshot:
    """The site called `name`, from `file`, whose master started at `began` (monotonic seconds)."""
    target = generations.target() or generations.candidate
    listeners = target.listeners if target is not None else []
    workers = sorted(
        _workers(generations, record, target, now), key=lambda worker: (worker.number, worker.generation)
    )
    return Snapshot(
        site=name,
        file=file,
        program=__version__,
        pid=os.getpid(),
        uptime=now - began,
        phase=phase(generations, stopping=stopping).value,
        generation=generations.current.number if generations.current is not None else None,
        candidate=generations.candidate.number if generations.candidate is not None else None,
        wanted=target.wanted if target is not None else 0,
        addresses=[str(listener) for listener in listeners if not listener.checks],
        checks=[str(listener) for listener in listeners if listener.checks],
        trouble=record.trouble,
        workers=workers,
        threads=_together(w.threads for w in workers if w.state == WorkerState.SERVING.value),
    )


def _together(workers: Iterable[ThreadsStatus]) -> ThreadsStatus:
    each = list(workers)
    return ThreadsStatus(
        busy=sum(w.busy for w in each),
        total=sum(w.total for w in each),
        most=sum(w.most for w in each),
        queued=sum(w.queued for w in each),
        oldest=max((w.oldest for w in each if w.oldest is not None), default=None),
    )


def _workers(
    generations: Generations, record: Record, target: Generation | None, now: float
) -> Iterator[WorkerStatus]:
    deaths = {number: DeathStatus(how, now - when) for number, (when, how) in record.deaths.items()}
    present = set()
    for generation in generations:
        for worker in generation.workers.values():
            present.add(worker.number)
            yield _worker(generation, worker, deaths.get(worker.number), now)
    if target is not None and not target.is_leaving():
        state = _CRASH_LOOP if crash_loop(target.crashes.early) else _MISSING
        for number in set(range(1, target.wanted + 1)) - present:
            yield WorkerStatus(number, target.number, state, last_death=deaths.get(number))


def _worker(
    generation: Generation, worker: WorkerHandle, last_death: DeathStatus | None, now: float
) -> WorkerStatus:
    counters = generation.board.read(worker.slot)
    threads = shortage.view(counters, generation.site, worker.ready_at, now)
    return WorkerStatus(
        number=worker.number,
        generation=generation.number,
        state=worker.state.value,
        pid=worker.pid,
        age=None if worker.ready_at is None else now - worker.ready_at,
        requests=counters.requests,
        failures=counters.counts.failures,
        in_flight=len(counters.in_flight),
        connections=counters.connections,
        rss=None if worker.pid is None else memory_used(worker.pid, "rss"),
        recycle=worker.recycle,
        last_death=last_death,
        threads=ThreadsStatus(threads.busy, threads.total, threads.most, threads.queued, threads.oldest),
    )


def reloading(generations: Generations, *, rolled_out: bool) -> Progress:
    """The progress of the generation that is being started or rolled out."""
    candidate = generations.candidate
    if candidate is None:
        return Progress(stage=Stage.NOTED)
    return Progress(
        stage=_stage(candidate, rolled_out=rolled_out),
        generation=candidate.number,
        done=sum(worker.state is WorkerState.SERVING for worker in candidate.workers.values()),
        total=candidate.wanted,
    )


def _stage(candidate: Generation, *, rolled_out: bool) -> Stage:
    if candidate.state is GenerationState.PREPARING and candidate.site.rollout.before is None:
        return Stage.LOADING
    if candidate.state in _STAGES:
        return _STAGES[candidate.state]
    return Stage.CONFIRMING if rolled_out else Stage.ROLLING_OUT


def stopping(generations: Generations) -> Progress:
    """How many workers are still there."""
    left = sum(len(generation.workers) for generation in generations)
    return Progress(stage=Stage.STOPPING, done=left, total=left)
