"""The site as an operator sees it: what `superwsgi status` shows, and the progress of a reload or stop.

Only reads: generations, record, scoreboards, and the workers' memory use.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from superwsgi import __version__, build
from superwsgi.board.counts import BOUNDS, CLASSES, METHODS, REFUSED, Counts, WorkerCounters, quantile
from superwsgi.board.path_table import ANSWERS_AT, LATENCY_AT, TIMES, Series
from superwsgi.control import Outcome, Progress, Snapshot, Stage
from superwsgi.master.companions import replacing
from superwsgi.master.companions.companion import Companion
from superwsgi.master.control import waiting
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.generations import Generations
from superwsgi.master.generations.record import Record
from superwsgi.master.incidents.incidents import Incidents
from superwsgi.master.policy import shortage
from superwsgi.master.policy.causes import Cause
from superwsgi.master.policy.death import crash_loop
from superwsgi.master.policy.health import Condition
from superwsgi.master.policy.last_minute import LastMinute
from superwsgi.master.processes.handles import WorkerHandle
from superwsgi.master.processes.usage import memory_used
from superwsgi.master.states import GenerationState, WorkerState
from superwsgi.snapshot import (
    CertificateStatus,
    DeathStatus,
    FiguresStatus,
    MemoryStatus,
    MinuteStatus,
    PathTotals,
    RunningStatus,
    ThreadsStatus,
    TotalsStatus,
    WorkerStatus,
)
from superwsgi.tls.interface import Expiry

_STAGES = {
    GenerationState.PREPARING: Stage.PREPARING,
    GenerationState.WAITING: Stage.MAKING_ROOM,
    GenerationState.LOADING: Stage.LOADING,
}
_MISSING = "missing"
_CRASH_LOOP = "crash-loop"
_STOPPED = "stopped"
_HANGS = "hangs"

MOST_RUNNING: Final = 1000
"""How many of the requests that run are shown."""

_PYTHON: Final = build.python()
_COMPILED: Final = build.is_compiled()

_DAY: Final = 24 * 60 * 60


class _Present(NamedTuple):
    """A worker that there is, and what it has in hand. Its counts have just been looked at, for the
    totals."""

    generation: Generation
    worker: WorkerHandle
    counters: WorkerCounters

    @classmethod
    def read(cls, generation: Generation, worker: WorkerHandle) -> _Present:
        return cls(generation, worker, generation.board.read(worker.slot, worker.counts))


def snapshot(
    generations: Generations,
    record: Record,
    incidents: Incidents,
    condition: Condition,
    *,
    name: str,
    file: str | None,
    began: float,
    now: float,
    requests: bool = False,
) -> Snapshot:
    """The site called `name`, from `file`, whose master started at `began` (monotonic seconds); with the
    `requests` that run if they are wanted. What lives beside its workers is the master's to add."""
    signs = condition.signs
    target = generations.target() or generations.candidate
    listeners = [each for each in target.listeners if each.sock.fileno() >= 0] if target is not None else []
    present = [_Present.read(*each) for each in generations.workers()]
    workers = sorted(
        _workers(present, record, target, now), key=lambda worker: (worker.number, worker.generation)
    )
    return Snapshot(
        site=name,
        file=file,
        program=__version__,
        pid=os.getpid(),
        uptime=now - began,
        phase=signs.phase,
        generation=generations.current.number if generations.current is not None else None,
        candidate=generations.candidate.number if generations.candidate is not None else None,
        wanted=signs.wanted,
        addresses=[_page(str(each), target) for each in listeners if not each.checks],
        checks=[str(listener) for listener in listeners if listener.checks],
        trouble=record.trouble,
        workers=workers,
        threads=_together(w.threads for w in workers if w.state == WorkerState.SERVING.value),
        health=condition.health.value,
        reasons=list(condition.reasons),
        serving=signs.serving,
        totals=_totals(signs.totals, generations, record, incidents),
        minute=_minute(signs.lately),
        certificate=_certificate(generations.current),
        running=_running(present, now) if requests else None,
        python=_PYTHON,
        compiled=_COMPILED,
        **_numbers(target),
    )


def _numbers(target: Generation | None) -> dict[str, Any]:
    """How many workers there may be, as a Snapshot has it."""
    if target is None:
        return {}
    numbers = target.numbers
    return {
        "least": numbers.least,
        "most": numbers.most,
        "pinned": numbers.pinned,
        "held_back": numbers.held_back,
    }


def _totals(counts: Counts, generations: Generations, record: Record, incidents: Incidents) -> TotalsStatus:
    totals = generations.totals
    return TotalsStatus(
        **_counted(counts),
        methods=_methods(counts.answers),
        time=counts.time,
        app_time=counts.app_time,
        bounds=list(BOUNDS),
        latency=list(counts.latency),
        app_latency=list(counts.app_latency),
        restarts={cause.value: totals.restarts[cause] for cause in Cause},
        reloads={outcome.value: record.reloads[outcome] for outcome in Outcome},
        incidents=dict(incidents.events),
        cpu=totals.cpu(generations.living()),
        paths=_paths(generations),
    )


def _paths(generations: Generations) -> list[PathTotals] | None:
    """None while the site does not count by path."""
    current = generations.current or generations.candidate
    if current is None or not current.site.metrics.paths:
        return None
    return [_path_totals(*each) for each in generations.totals.by_path.all()]


def _path_totals(series: Series, counts: tuple[int, ...]) -> PathTotals:
    time, app_time = counts[:TIMES]
    return PathTotals(
        method=METHODS[series.method],
        group=series.group,
        answers=_by_class(counts[ANSWERS_AT:LATENCY_AT]),
        latency=list(counts[LATENCY_AT:]),
        time=time / 1e9,
        app_time=app_time / 1e9,
    )


def _minute(lately: LastMinute) -> MinuteStatus:
    latency, app_latency = lately.counts.latency, lately.counts.app_latency
    return MinuteStatus(
        **_counted(lately.counts),
        seconds=lately.seconds,
        rate=lately.rate,
        p50=quantile(latency, 0.5),
        p99=quantile(latency, 0.99),
        app_p50=quantile(app_latency, 0.5),
        app_p99=quantile(app_latency, 0.99),
    )


def _counted(counts: Counts) -> dict[str, Any]:
    """The fields of a CountsStatus."""
    return {
        "requests": counts.requests,
        "answers": _by_class(counts.classes),
        "refused": {
            str(status): count for status, count in zip(REFUSED, counts.refused, strict=True) if count
        },
        "accepted": counts.accepted,
        "turned_away": counts.turned_away,
        "unlogged": counts.unlogged,
        "quarantined": counts.quarantined,
        "not_upgraded": counts.not_upgraded,
        "shed": counts.shed,
        "upgrades": counts.upgrades,
        "sent": counts.sent,
    }


def _by_class(counts: tuple[int, ...]) -> dict[str, int]:
    return dict(zip(CLASSES, counts, strict=True))


def _methods(answers: tuple[int, ...]) -> dict[str, dict[str, int]]:
    """Those that were asked with, each with its answers by class."""
    width = len(CLASSES)
    of_each = [answers[at : at + width] for at in range(0, len(answers), width)]
    return {method: _by_class(own) for method, own in zip(METHODS, of_each, strict=True) if any(own)}


def _page(address: str, target: Generation | None) -> str:
    return address if target is None else target.site.page(address)


def _certificate(current: Generation | None) -> CertificateStatus | None:
    expires: Expiry | None = None if current is None else current.expires
    if expires is None:
        return None
    return CertificateStatus(expires.file, expires.when, (expires.when - time.time()) / _DAY)


def _running(present: list[_Present], now: float) -> list[RunningStatus]:
    """The longest first."""
    running = [
        RunningStatus(
            each.worker.number,
            each.worker.generation,
            each.worker.pid,
            request.thread,
            request.method,
            request.path,
            request.id,
            max(0.0, now - request.started),
        )
        for each in present
        for request in each.counters.in_hand
    ]
    return sorted(running, key=lambda each: -each.seconds)[:MOST_RUNNING]


def _together(workers: Iterable[ThreadsStatus]) -> ThreadsStatus:
    each = list(workers)
    gated = max(each, key=lambda w: w.gated_for or 0.0, default=ThreadsStatus())
    return ThreadsStatus(
        busy=sum(w.busy for w in each),
        total=sum(w.total for w in each),
        most=sum(w.most for w in each),
        queued=sum(w.queued for w in each),
        oldest=max((w.oldest for w in each if w.oldest is not None), default=None),
        abandoned=sum(w.abandoned for w in each),
        gated=sum(w.gated for w in each),
        gated_for=gated.gated_for,
        gated_by=gated.gated_by,
        left=sum(w.left for w in each),
        green=bool(each) and all(w.green for w in each),
    )


def _workers(
    present: list[_Present], record: Record, target: Generation | None, now: float
) -> Iterator[WorkerStatus]:
    deaths = {
        number: DeathStatus(how, now - when, incident)
        for number, (when, how, incident) in record.deaths.items()
    }
    for each in present:
        yield _worker(each, deaths.get(each.worker.number), now)
    if target is not None and not target.is_leaving():
        state = _CRASH_LOOP if crash_loop(target.crashes.early) else _MISSING
        for number in set(range(1, target.wanted + 1)) - {each.worker.number for each in present}:
            yield WorkerStatus(number, target.number, state, last_death=deaths.get(number))


def _worker(present: _Present, last_death: DeathStatus | None, now: float) -> WorkerStatus:
    generation, worker, counters = present
    threads = shortage.view(counters, generation.site, worker.ready_at, now)
    return WorkerStatus(
        number=worker.number,
        generation=generation.number,
        state=_state(worker),
        pid=worker.pid,
        age=None if worker.ready_at is None else now - worker.ready_at,
        requests=worker.counts.requests,
        failures=worker.counts.failures,
        in_flight=len(counters.in_flight),
        connections=counters.connections,
        upgraded=counters.upgraded,
        rss=None if worker.pid is None else memory_used(worker.pid, "rss"),
        recycle=worker.recycle,
        last_death=last_death,
        threads=ThreadsStatus(
            threads.busy,
            threads.total,
            threads.most,
            threads.queued,
            threads.oldest,
            shortage.abandoned(counters.abandoned, generation.site),
            threads.gated,
            threads.gated_for,
            threads.gated_by,
            min(counters.left, generation.site.most_threads),
            bool(generation.site.green),
        ),
        cpu=worker.cpu,
        taken=counters.taken,
        sending=counters.sending,
        pss=worker.pss,
        cpu_seconds=worker.cpu_seconds,
        memory=_memory(worker, generation.memory.first, now),
    )


def _memory(worker: WorkerHandle, limit: int | None, now: float) -> MemoryStatus:
    series = worker.series
    used = worker.memory[-1][1] if worker.memory else None
    return MemoryStatus(
        limit=limit,
        limit_in=None if used is None else series.reaches(used, limit),
        grows=series.rate(),
        leaks=[one for one in worker.leaks if one.proven],
        series=[FiguresStatus(now - each.at, each.rss, each.pss, each.private) for each in series.kept],
    )


def _state(worker: WorkerHandle) -> str:
    """One that has not gone on for a while serves nobody, whatever it was told to do."""
    if worker.stopped_at is not None:
        return _STOPPED
    return _HANGS if worker.dumped_at is not None else worker.state.value


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
        waits_for=waiting.for_reload(candidate, rolled_out=rolled_out),
    )


def _stage(candidate: Generation, *, rolled_out: bool) -> Stage:
    if candidate.state is GenerationState.PREPARING and candidate.site.rollout.before is None:
        return Stage.LOADING
    if candidate.state in _STAGES:
        return _STAGES[candidate.state]
    return Stage.CONFIRMING if rolled_out else Stage.ROLLING_OUT


def stopping(generations: Generations, companions: Iterable[Companion]) -> Progress:
    """How many workers are still there."""
    left = sum(len(generation.workers) for generation in generations)
    lives = [companion for companion in companions if companion.lives]
    waits = replacing.waits_for(lives[0]) if lives and not left else waiting.for_stop(generations)
    return Progress(stage=Stage.STOPPING, done=left, total=left, waits_for=waits)
