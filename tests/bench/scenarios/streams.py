"""Event streams that are open at once: what an event costs, and whether all come."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from tests.bench.bench import Bench, Column, Sample, Scenario
from tests.bench.process import BenchError, Tree, free_port, others_cpu_seconds, pinned
from tests.bench.servers import REPOSITORY, Job, Server

STREAMS = 500
THREADS = 1000
SECONDS = 2
"""Times as long as other loads: each stream has one event a second."""


def measure(path: str, server: Server, bench: Bench) -> Sample:
    """CPU time of all of the server's processes, from when each stream has had an event."""
    job = Job(
        "tests.bench.stream_app:app", free_port(), bench.folder, threads=THREADS, connections=2 * THREADS
    )
    seconds = SECONDS * bench.pace.load
    command = [sys.executable, "-m", "tests.bench.audience", str(job.port), path, str(STREAMS), str(seconds)]
    with (
        bench.serving(server, job) as tree,
        subprocess.Popen(
            pinned({bench.cores.load}, command), cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
        ) as audience,
    ):
        assert audience.stdout is not None
        began = audience.stdout.readline().strip()
        if began != "all":
            raise BenchError(f"streams: {began or 'they could not be opened'}")
        before, switched, others = tree.cpu_seconds(), _switches(tree), others_cpu_seconds(tree)
        events, ended = map(int, audience.stdout.readline().split())
        cpu, switched = tree.cpu_seconds() - before, _switches(tree) - switched
        others = others_cpu_seconds(tree) - others
        pss = tree.pss()
    return {
        "cpu_us": cpu / events * 1e6,
        "switches": switched / events,
        "delivered": events / (STREAMS * seconds),
        "ended": ended,
        "pss_mb": pss / 1e6,
        "others_percent": max(others, 0.0) / seconds * 100,
    }


def _switches(tree: Tree) -> int:
    """Of threads, so far."""
    switches = 0
    for process in tree.processes():
        for thread in process.threads():
            with open(f"/proc/{process.pid}/task/{thread.id}/status") as status:
                switches += sum(int(line.split()[1]) for line in status if "ctxt_switches" in line)
    return switches


COLUMNS = {
    "cpu_us": Column("CPU per event (us)"),
    "switches": Column("thread switches per event", ",.2f"),
    "delivered": Column("events, of those due", ",.2f"),
    "ended": Column("streams that ended", ",.0f"),
    "pss_mb": Column("memory, PSS (MB)"),
}


def _scenario(what: str, path: str) -> Scenario:
    title = f"{STREAMS} event streams, each with an event a second {what}: 1 worker, {THREADS:,} threads"
    return Scenario(
        title,
        COLUMNS,
        partial(measure, path),
        fits=lambda server: server.pools and server.supervises,
    )


SCENARIOS = {
    "streams": _scenario("of its own", "/ticks"),
    "streams-told": _scenario("from one thread that tells all", "/told"),
}
