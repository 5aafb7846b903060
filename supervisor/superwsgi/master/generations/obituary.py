"""How a worker's end is reported: in the log, and as its last death in the status."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from superwsgi.log.error import ErrorLog
from superwsgi.log.spelling import duration, ending
from superwsgi.master.generations.generation import Generation
from superwsgi.master.policy.death import Verdict, crash_loop
from superwsgi.master.processes.handles import WorkerHandle
from superwsgi.master.processes.reaper import ExitCode
from superwsgi.scoreboard import WorkerCounters


@dataclass(frozen=True, slots=True)
class Obituary:
    """A worker that ended at `now` (monotonic seconds), and what it had in hand; `code` is None if it never
    was a process."""

    worker: WorkerHandle
    generation: Generation
    code: ExitCode | None
    counters: WorkerCounters
    now: float


def how(code: ExitCode | None) -> str:
    return "never started" if code is None else ending(code)


def cause(worker: WorkerHandle, code: ExitCode | None) -> str:
    """How it ended and, if that is known, why."""
    why = worker.failure or worker.asked_to_go
    return f"{how(code)}: {why}" if why else how(code)


def tell(log: ErrorLog, of: Obituary, verdict: Verdict) -> None:
    """Log a death. One that ends a roll-out is reported when that is given up."""
    if verdict is Verdict.EXPECTED:
        say = log.warning if of.counters.in_flight else log.info
        say("ended", **{"reason": of.worker.asked_to_go or "its generation is ending", **dict(_facts(of))})
    elif verdict is Verdict.REPLACE:
        log.error("died", of.worker.detail, **dict(_facts(of)), **dict(_consequence(of)))


def _facts(of: Obituary) -> Iterator[tuple[str, str]]:
    yield "how", how(of.code)
    yield "requests", str(of.counters.requests)
    if of.worker.failure is not None:
        yield "reason", of.worker.failure
    if of.counters.in_flight:
        spent = ((r, max(0.0, of.now - r.started)) for r in of.counters.in_flight)
        yield "in_hand", ", ".join(f"{r.method} {r.path} {duration(seconds)}" for r, seconds in spent)


def _consequence(of: Obituary) -> Iterator[tuple[str, str]]:
    wait = of.generation.crashes.fork_at - of.now
    yield "next", f"replaced in {duration(wait)}" if wait > 0 else "replaced at once"
    if crash_loop(of.generation.crashes.early):
        yield "state", "crash-loop"
