"""What threads do: for quick pages beside slow ones, for one client alone, and at rest."""

from __future__ import annotations

import contextlib
import http.client
import time
from dataclasses import dataclass, replace
from functools import partial

from tests.bench.bench import Bench, Column, Sample, Scenario
from tests.bench.process import BenchError, free_port, get, others_cpu_seconds, wait_until
from tests.bench.scenarios import work
from tests.bench.servers import GUNICORN_THREADS, OURS, Job, Server
from tests.bench.wrk import Figures, Wrk

QUICK_CLIENTS = 6
FIXED = 64
"""Threads of those that have a fixed number, where one client is alone."""

ASKED = 200
"""Requests of the client that is alone."""

LEAD_SECONDS = 0.5
PAGE_SECONDS = 0.1
SETTLED = PAGE_SECONDS * 1.5
"""Seconds that the slow page takes at most where nothing waits before it."""

SETTLE_SECONDS = 20.0
"""For what a load has left in the queue: 300 pages on Waitress's four threads take 8."""

COUNTS = (8, 64, 1000)
SLEEPERS = work.Work("App that sleeps 100 ms", "tests.bench.apps:long_sleep", threads=1000, connections=1000)


@dataclass(frozen=True)
class Mix:
    """Clients of a slow page, and how superwsgi is set up; None is its default."""

    slow: int = 60
    threads: int | None = None
    queue: str | None = None

    @property
    def title(self) -> str:
        queue = f", queue: {self.queue}" if self.queue else ""
        threads = f"threads: {self.threads}{queue}" if self.threads else "threads as they are by default"
        return f"{self.slow} clients of a page of 100 ms, {QUICK_CLIENTS} of a quick one: 1 worker, {threads}"


MIXES = {
    "mixed": Mix(),
    "mixed-300": Mix(slow=300),
    "mixed-many": Mix(slow=300, threads=300),
    "mixed-fixed": Mix(threads=8),
    "mixed-fifo": Mix(threads=8, queue="fifo"),
}


def mixed(mix: Mix, server: Server, bench: Bench) -> Sample:
    """The slow page alone, which also warms the server up, and then both."""
    job = Job("tests.bench.apps:mixed", free_port(), bench.folder, threads=mix.threads, queue=mix.queue)
    with bench.serving(server, job) as tree:
        with _slow(mix, job, bench) as load:
            time.sleep(bench.pace.load)
            load.stop()
            alone = load.figures()
        _settle(job.port)
        others = others_cpu_seconds(tree)
        quick, slow = _together(mix, job, bench)
        others = others_cpu_seconds(tree) - others
    return {
        "rate": quick.rate,
        "p50_ms": quick.p50_ms,
        "p99_ms": quick.p99_ms,
        "slow_rate": slow.rate,
        "slow_p50_ms": slow.p50_ms,
        "slow_p99_ms": slow.p99_ms,
        "share": slow.rate / alone.rate,
        "others_percent": max(others, 0.0) / slow.seconds * 100,
    }


def _together(mix: Mix, job: Job, bench: Bench) -> tuple[Figures, Figures]:
    """Quick clients come when the slow ones are there: what they get in an empty queue does not count."""
    with _slow(mix, job, bench) as slow:
        time.sleep(LEAD_SECONDS)
        with Wrk(job.port, bench.pace.load, QUICK_CLIENTS, bench.cores.load) as load:
            quick = load.figures(may_starve=True)
        slow.stop()
        return quick, slow.figures()


def _slow(mix: Mix, job: Job, bench: Bench) -> Wrk:
    """For longer than it is needed: to be stopped."""
    return Wrk(job.port, bench.pace.load + 5, mix.slow, bench.cores.load, path="/slow")


def _settle(port: int) -> None:
    """Wait until the queue is empty: wrk leaves what its clients have asked for last."""
    wait_until(lambda: _is_settled(port), SETTLE_SECONDS, "pages that nobody waits for are not done")


def _is_settled(port: int) -> bool:
    began = time.monotonic()
    with contextlib.suppress(OSError, http.client.HTTPException):
        get(port, "/slow")
        return time.monotonic() - began < SETTLED
    return False


def sequential(server: Server, bench: Bench) -> Sample:
    """Distinct threads that a client meets who asks for one page after another: with a fixed number of them,
    and with as many as there are by default."""
    sample: Sample = {}
    for name, threads in (("fixed", FIXED), ("usual", None)):
        job = Job("tests.bench.apps:thread", free_port(), bench.folder, threads=threads)
        with bench.serving(server, job):
            sample[f"{name}_hello"] = _threads_met(job.port, "/")
            sample[f"{name}_blocks"] = _threads_met(job.port, "/blocks")
    return sample


def _threads_met(port: int, path: str) -> int:
    """Raises BenchError where an answer is not a 200."""
    threads = set()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as client:
        for _ in range(ASKED):
            client.request("GET", path)
            response = client.getresponse()
            threads.add(response.read())
            if response.status != http.HTTPStatus.OK:
                raise BenchError(f"{response.status} {response.reason}")
    return len(threads)


def at_rest(server: Server, bench: Bench) -> Sample:
    """What threads that have nothing to do cost those that have: hello world with more and more of them."""
    hello = work.WORK["hello"]
    works = {f"cpu_{count}": replace(hello, threads=count) for count in COUNTS}
    works["cpu_usual"] = replace(hello, threads=None)
    return {name: work.measure(hello, server, bench)["cpu_us"] for name, hello in works.items()}


MIXED_COLUMNS = {
    "rate": Column("quick: requests/s", ",.0f"),
    "p50_ms": Column("p50 (ms)", ",.2f"),
    "p99_ms": Column("p99 (ms)", ",.2f"),
    "slow_rate": Column("slow: requests/s", ",.0f"),
    "slow_p50_ms": Column("p50 (ms)", ",.0f"),
    "slow_p99_ms": Column("p99 (ms)", ",.0f"),
    "share": Column("requests/s, of slow ones alone", ",.2f"),
}


def _runs_one_more(server: Server) -> bool:
    return server.pools


def _is_ours(server: Server) -> bool:
    return server.package == OURS


SCENARIOS = {
    name: Scenario(
        mix.title, MIXED_COLUMNS, partial(mixed, mix), fits=_is_ours if mix.threads else _runs_one_more
    )
    for name, mix in MIXES.items()
} | {
    "sequential": Scenario(
        f"Distinct threads that one client meets in {ASKED} requests one after another",
        {
            "fixed_hello": Column(f"{FIXED} threads: hello world", ",.0f"),
            "fixed_blocks": Column("page that waits 5 ms", ",.0f"),
            "usual_hello": Column(f"default (Gunicorn: {GUNICORN_THREADS}): hello world", ",.0f"),
            "usual_blocks": Column("page that waits 5 ms", ",.0f"),
        },
        sequential,
        fits=_runs_one_more,
    ),
    "sleepers": Scenario(
        work.title(SLEEPERS),
        work.COLUMNS,
        partial(work.measure, SLEEPERS),
        fits=lambda server: server.pools and server.supervises,
    ),
    "threads-at-rest": Scenario(
        "Hello world, 1 worker, 32 keep-alive connections, and threads that have nothing to do",
        {
            **{
                f"cpu_{count}": Column(f"CPU per request, {count:,} threads (us)", ",.2f") for count in COUNTS
            },
            "cpu_usual": Column("default (us)", ",.2f"),
        },
        at_rest,
        fits=_is_ours,
    ),
}
