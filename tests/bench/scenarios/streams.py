"""Event streams that are open at once: what an event costs and a stream takes, how late events are, and
whether all come."""

from __future__ import annotations

import resource
from collections.abc import Callable
from functools import partial

from tests.bench.bench import Bench, Column, Sample, Scenario
from tests.bench.process import BenchError, Tree, free_port
from tests.bench.scenarios import work
from tests.bench.servers import GREEN, SERVERS, Job, Server
from tests.bench.streams import SPARE, Streams

BARE, FLASK = "tests.bench.stream_app:app", "tests.bench.stream_app:flask"
STREAMS, THREADS = 500, 1000
MANY, GREENLETS = 10_000, 12_000


def measure(app: str, path: str, count: int, threads: int, server: Server, bench: Bench) -> Sample:
    job = Job(app, free_port(), bench.folder, threads=threads, connections=threads + 1000)
    allow_descriptors(job.connections + SPARE)
    with bench.serving(server, job) as tree:
        return follow(tree, job.port, path, count, bench)


def follow(tree: Tree, port: int, path: str, count: int, bench: Bench) -> Sample:
    """So many streams, which have an event a second, once all of them have begun."""
    seconds, empty = bench.pace.load, tree.pss()
    with Streams(port, path, count, seconds, bench.cores.load) as load:
        switches = sum(tree.switches())
        sample = work.sampled(tree, load.figures, load.tree)
        switches = sum(tree.switches()) - switches
    return {
        **sample,
        "switches": switches / (sample["rate"] * seconds),
        "delivered": sample["rate"] / count,
        "kb": (sample["pss_mb"] * 1e6 - empty) / count / 1024,
    }


def allow_descriptors(count: int) -> None:
    """For the server, and its clients. Raises BenchError where there are fewer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise BenchError(f"ulimit -n allows {hard} descriptors, not {count}")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


COLUMNS = {
    "cpu_us": Column("CPU per event (us)"),
    "switches": Column("thread switches per event", ",.2f"),
    "rate": Column("events/s", ",.0f"),
    "delivered": Column("events, of those due", ",.2f"),
    "p50_ms": Column("late, p50 (ms)", ",.2f"),
    "p99_ms": Column("p99 (ms)", ",.2f"),
    "kb": Column("memory a stream, PSS (KB)"),
    "errors": Column("lost or cut off", ",.0f"),
}


def _has_threads(server: Server) -> bool:
    return server.pools and server.supervises


def _is_green(server: Server) -> bool:
    return server is SERVERS[GREEN]


def _scenario(what: str, app: str, path: str, *, many: bool = False) -> Scenario:
    count, threads = (MANY, GREENLETS) if many else (STREAMS, THREADS)
    at_once = f"{threads:,} {'greenlets' if many else 'threads'}"
    fits: Callable[[Server], bool] = _is_green if many else _has_threads
    return Scenario(
        f"{count:,} event streams, each with an event a second {what}: 1 worker, {at_once}",
        COLUMNS,
        partial(measure, app, path, count, threads),
        fits=fits,
    )


SCENARIOS = {
    "streams": _scenario("of its own", BARE, "/ticks"),
    "streams-told": _scenario("from one thread that tells all", BARE, "/told"),
    "streams-many": _scenario("of its own", BARE, "/ticks", many=True),
    "streams-many-flask": _scenario("of its own, by Flask", FLASK, "/ticks", many=True),
}
