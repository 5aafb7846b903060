"""What a site's health is judged by, read from its generations, its record and the scoreboards."""

from __future__ import annotations

import time
from collections.abc import Iterable

from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.generations import Generations
from superwsgi.master.generations.record import Record
from superwsgi.master.policy.health import CompanionSigns, Condition, SiteSigns, WorkerSigns, judge
from superwsgi.master.policy.limits import heartbeat
from superwsgi.master.policy.shortage import Shortage, abandoned
from superwsgi.master.processes.handles import WorkerHandle
from superwsgi.master.states import WorkerState
from superwsgi.master.systemd.report import phase


def condition(
    generations: Generations,
    record: Record,
    shortage: Shortage | None,
    *,
    stopping: bool,
    now: float,
    quarantine: tuple[tuple[str, float], ...] = (),
    companions: Iterable[CompanionSigns] = (),
    outage: str = "",
) -> Condition:
    """How the site is now; `shortage` of threads, if there is one; `quarantine` are kinds in quarantine,
    `outage` says why nothing runs."""
    target = generations.target() or generations.candidate
    totals = generations.totals.now(generations.living(), now)
    return judge(
        SiteSigns(
            phase=phase(generations, stopping=stopping).value,
            wanted=target.wanted if target is not None else 0,
            workers=tuple(
                _signs(generation, worker, now)
                for generation, worker in generations.workers()
                if worker.state is WorkerState.SERVING
            ),
            lately=generations.totals.lately(totals, now),
            totals=totals,
            crash_loop=target is not None and target.crashes.looping(now),
            out_of_threads=None if shortage is None else now - shortage.since,
            trouble=record.trouble,
            expires_in=_expires_in(generations.current),
            mold_lost=_has_lost_mold(generations.current),
            quarantine=quarantine,
            companions=tuple(companions),
            expected=len(target.numbers.expected) if target is not None else 0,
            bounds=target.numbers.bounds if target is not None else None,
            pinned=target is not None and target.numbers.pinned,
            outage=outage,
        )
    )


def _signs(generation: Generation, worker: WorkerHandle, now: float) -> WorkerSigns:
    stopped = worker.stopped_at
    return WorkerSigns(
        number=worker.number,
        stopped=None if stopped is None else now - stopped,
        silent=heartbeat.silent(*generation.board.pulse(worker.slot), worker.ready_at or now, now),
        abandoned=abandoned(generation.board.abandoned(worker.slot), generation.site),
        cpu=worker.cpu,
    )


def _has_lost_mold(current: Generation | None) -> bool:
    if current is None or current.is_leaving() or not current.crashes.molds:
        return False
    return current.mold is None or not current.mold.loaded


def _expires_in(current: Generation | None) -> float | None:
    """Seconds until the first of its certificates expires."""
    return None if current is None or current.expires is None else current.expires.when - time.time()
