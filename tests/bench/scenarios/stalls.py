"""Where the slowest requests wait: large bodies, two workers that share a core, pages that sleep among quick
ones.

Beside the latencies, which a busy machine makes worse for all, are the thread switches that a request costs:
how often one waited for something (the GIL, another thread, the kernel), and how often another one was put in
its place.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from tests.bench import wrk
from tests.bench.bench import Bench, Column, Sample, Scenario
from tests.bench.process import Tree, free_port, others_cpu_seconds
from tests.bench.scenarios.threads import SLEEPERS
from tests.bench.scenarios.work import WORK, Work
from tests.bench.servers import Job, Server

QUICK: Final = 8
SLEEPING: Final = 8
"""Clients of each kind, where some pages sleep: some 800 sleeps a second, a tenth of all."""

_FLASK: Final = Work("Flask hello", "tests.bench.flask_app:app", connections=16)


def measure(work: Work, workers: int, server: Server, bench: Bench) -> Sample:
    job = _job(work, workers, bench)
    load = partial(wrk.run, job.port, connections=work.connections, core=bench.cores.load, path=work.path)
    with bench.serving(server, job) as tree:
        if bench.pace.warm_up:
            load(seconds=bench.pace.warm_up)
        before = _Spent(tree)
        figures = load(seconds=bench.pace.load)
        return _sample(figures, before)


def among(path: str, server: Server, bench: Bench) -> Sample:
    """Quick pages, while `SLEEPING` clients ask for `path`, which sleeps."""
    job = _job(Work("", "tests.bench.stall_app:app", threads=32), 1, bench)
    core = bench.cores.load
    with bench.serving(server, job) as tree, wrk.Wrk(job.port, 60, SLEEPING, core, path=path) as slow:
        if bench.pace.warm_up:
            wrk.run(job.port, bench.pace.warm_up, QUICK, core)
        before = _Spent(tree)
        figures = wrk.run(job.port, bench.pace.load, QUICK, core)
        sample = _sample(figures, before)
        slow.stop()
        return {**sample, "slow_rate": slow.figures().rate}


class _Spent:
    """What a server has used until now."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.cpu = tree.cpu_seconds()
        self.waits, self.preempted = tree.switches()
        self.others = others_cpu_seconds(tree)


def _sample(figures: wrk.Figures, before: _Spent) -> Sample:
    after = _Spent(before.tree)
    return {
        "rate": figures.rate,
        "p50_ms": figures.p50_ms,
        "p99_ms": figures.p99_ms,
        "cpu_us": (after.cpu - before.cpu) / figures.requests * 1e6,
        "waits": (after.waits - before.waits) / figures.requests,
        "preempted": (after.preempted - before.preempted) / figures.requests,
        "errors": figures.errors,
        "others_percent": max(after.others - before.others, 0.0) / figures.seconds * 100,
    }


def _job(work: Work, workers: int, bench: Bench) -> Job:
    connections = max(1000, 2 * work.connections)
    return Job(
        work.app, free_port(), bench.folder, workers=workers, threads=work.threads, connections=connections
    )


COLUMNS: Final = {
    "rate": Column("requests/s", ",.0f"),
    "p50_ms": Column("p50 (ms)", ",.2f"),
    "p99_ms": Column("p99 (ms)", ",.2f"),
    "cpu_us": Column("CPU per request (us)"),
    "waits": Column("waits per request", ",.2f"),
    "preempted": Column("preempted per request", ",.2f"),
    "errors": Column("errors", ",.0f"),
}
_BESIDE: Final = {**COLUMNS, "slow_rate": Column("slow: requests/s", ",.0f")}


def _supervises(server: Server) -> bool:
    return server.supervises


def _pools(server: Server) -> bool:
    return server.pools


SCENARIOS: Final = {
    "stall-body": Scenario(
        "100 KB body: 1 worker, 8 threads, 32 keep-alive connections",
        COLUMNS,
        partial(measure, WORK["body"], 1),
    ),
    "stall-workers": Scenario(
        "Flask hello: 2 workers on one core, 8 threads each, 16 keep-alive connections",
        COLUMNS,
        partial(measure, _FLASK, 2),
        fits=_supervises,
    ),
    "stall-pages": Scenario(
        f"{QUICK} clients of a quick page, and {SLEEPING} of one that sleeps 10 ms: 1 worker, 32 threads",
        _BESIDE,
        partial(among, "/slow"),
        fits=_pools,
    ),
    "stall-queries": Scenario(
        "The same, but it is one page, which sleeps for some queries",
        _BESIDE,
        partial(among, "/?slow"),
        fits=_pools,
    ),
    "stall-sleepers": Scenario(
        "1,000 clients of a page that sleeps 100 ms: 1 worker, 1,000 threads",
        COLUMNS,
        partial(measure, SLEEPERS, 1),
        fits=lambda server: server.pools and server.supervises,
    ),
}
