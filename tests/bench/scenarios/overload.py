"""Twice as much as can be answered, of pages that wait and of pages that compute: what is served of it, how
fast, and how soon it is over."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.bench.bench import Bench, Column, Sample, Scenario
from tests.bench.open_loop import Phase, offer
from tests.bench.process import free_port
from tests.bench.servers import OURS, Job, Server

QUEUE_AGE = "500ms"
CALM, TOO_MUCH, AFTER = 3, 20, 5
"""Seconds with half of what can be answered, with twice as much, and with half again."""

SOON = 2.0
"""Seconds after its end by which all has to be as before."""

COLUMNS = {
    "quiet_ms": Column("p99 before (ms)", ",.0f"),
    "served": Column("served, of what can be", ",.2f"),
    "p99_ms": Column("p99 of that (ms)", ",.0f"),
    "refused": Column("refused/s", ",.0f"),
    "after_ms": Column("p99 two seconds after (ms)", ",.0f"),
    "errors": Column("errors", ",.0f"),
}


def overload(server: Server, bench: Bench, *, app: str, path: str, threads: int, capacity: float) -> Sample:
    job = Job(f"tests.bench.apps:{app}", free_port(), bench.folder, threads=threads, queue_age=QUEUE_AGE)
    calm = capacity / 2
    with bench.serving(server, job):
        phases = Phase(CALM, calm), Phase(TOO_MUCH, capacity * 2), Phase(AFTER, calm)
        quiet, twice, after = offer(job.port, path, *phases)
    late = after.since(SOON)
    return {
        "quiet_ms": quiet.p99() * 1e3,
        "served": twice.rate / capacity,
        "p99_ms": twice.p99() * 1e3,
        "refused": len(twice.refused) / twice.seconds,
        "after_ms": late.p99() * 1e3,
        "errors": len(twice.lost) + len(late.refused) + len(late.lost),
    }


def _scenario(page: str, **load: Any) -> Scenario:
    return Scenario(
        f"Twice as many requests as {load['threads']} threads can answer for {TOO_MUCH} s: {page}, "
        f"limits.queue_age {QUEUE_AGE}",
        COLUMNS,
        partial(overload, **load),
        fits=lambda server: server.package == OURS,
    )


def _computing(milliseconds: int) -> Scenario:
    """One at a time can compute, however many threads there are."""
    load = {"app": "compute", "path": f"/{milliseconds}", "threads": 32, "capacity": 1000 / milliseconds}
    return _scenario(f"pages that compute for {milliseconds} ms", **load)


SCENARIOS = {
    "overload": _scenario("a page of 100 ms", app="long_sleep", path="/", threads=8, capacity=8 / 0.1),
    "overload-5": _computing(5),
    "overload-20": _computing(20),
    "overload-60": _computing(60),
}
