"""A large application: what four workers share of it, and how soon a killed one is replaced."""

from __future__ import annotations

import http.client
import os
import signal
import statistics
import time

import psutil

from tests.bench.bench import Bench, Column, Sample, Scenario
from tests.bench.process import Tree, free_port, get, wait_until
from tests.bench.servers import Job, Server

APP = "tests.bench.large_app:app"
WORKERS = 4
REQUESTS = 400
KILLS = 4
"""Fewer than any server takes for a crash loop."""

REPLACED_SECONDS = 20.0


def measure(server: Server, bench: Bench) -> Sample:
    memory = Job(APP, free_port(), bench.folder, workers=WORKERS, preload=True)
    with bench.serving(server, memory) as tree:
        sample = _memory(tree, memory.port)
    alone = Job(APP, free_port(), bench.folder, workers=1, preload=True)
    with bench.serving(server, alone):
        replaced = statistics.median(_replace(alone.port) for _ in range(KILLS))
    return {**sample, "replaced_ms": replaced * 1e3}


def _memory(tree: Tree, port: int) -> Sample:
    """Of all processes, after each worker has had a share of the requests."""
    for _ in range(REQUESTS):
        get(port)
    one = psutil.Process(_worker(port)).memory_info().rss
    return {"rss_mb": one / 1e6, "pss_mb": tree.pss() / 1e6, "ratio": tree.pss() / one}


def _replace(port: int) -> float:
    """Seconds from the end of the only worker to the first answer of the next."""
    worker = _worker(port)
    killed = time.monotonic()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: _answers_anew(port, worker), REPLACED_SECONDS, "no other worker")
    return time.monotonic() - killed


def _answers_anew(port: int, before: int) -> bool:
    """A connection waits in the accept queue, so the first one usually gets the answer."""
    try:
        return _worker(port) != before
    except (OSError, http.client.HTTPException):
        return False


def _worker(port: int) -> int:
    return int(get(port, "/pid"))


SCENARIO = Scenario(
    title=f"150 MB application imported before the fork: {WORKERS} workers, after {REQUESTS} requests",
    columns={
        "rss_mb": Column("one worker, RSS (MB)"),
        "pss_mb": Column("all processes, PSS (MB)"),
        "ratio": Column("ratio", ",.2f"),
        "replaced_ms": Column("killed worker replaced after (ms)"),
    },
    measure=measure,
    fits=lambda server: server.supervises,
)
