"""Twice as much as can be answered: what is served of it, how fast, and how soon it is over."""

from __future__ import annotations

from tests.bench.bench import Bench, Column, Sample, Scenario
from tests.bench.open_loop import Phase, offer
from tests.bench.process import free_port
from tests.bench.servers import OURS, Job, Server

THREADS = 8
PAGE_SECONDS = 0.1
CAPACITY = THREADS / PAGE_SECONDS
QUEUE_AGE = "500ms"

QUIET = Phase(3, CAPACITY / 2)
TWICE = Phase(20, CAPACITY * 2)
SOON = 2.0
"""Seconds after its end by which all has to be as before."""


def overload(server: Server, bench: Bench) -> Sample:
    job = Job("tests.bench.apps:long_sleep", free_port(), bench.folder, threads=THREADS, queue_age=QUEUE_AGE)
    with bench.serving(server, job):
        quiet, twice, after = offer(job.port, "/", QUIET, TWICE, Phase(SOON + 3, QUIET.rate))
    late = after.since(SOON)
    return {
        "quiet_ms": quiet.p99() * 1e3,
        "served": twice.rate / CAPACITY,
        "p99_ms": twice.p99() * 1e3,
        "refused": len(twice.refused) / twice.seconds,
        "after_ms": late.p99() * 1e3,
        "errors": len(twice.lost) + len(late.refused) + len(late.lost),
    }


SCENARIO = Scenario(
    f"Twice as many requests as {THREADS} threads can answer for 20 s: a page of 100 ms, "
    f"limits.queue_age {QUEUE_AGE}",
    {
        "quiet_ms": Column("p99 before (ms)", ",.0f"),
        "served": Column("served, of what can be", ",.2f"),
        "p99_ms": Column("p99 of that (ms)", ",.0f"),
        "refused": Column("refused/s", ",.0f"),
        "after_ms": Column("p99 two seconds after (ms)", ",.0f"),
        "errors": Column("errors", ",.0f"),
    },
    overload,
    fits=lambda server: server.package == OURS,
)
