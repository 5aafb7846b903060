"""What a site that nobody visits costs."""

from __future__ import annotations

import time

from tests.bench.bench import Bench, Column, Sample, Scenario
from tests.bench.process import free_port
from tests.bench.servers import Job, Server

SETTLE_SECONDS = 1.0


def measure(server: Server, bench: Bench) -> Sample:
    job = Job("tests.bench.apps:hello", free_port(), bench.folder, workers=4)
    with bench.serving(server, job) as tree:
        time.sleep(SETTLE_SECONDS)
        started, before = time.monotonic(), tree.cpu_seconds()
        time.sleep(bench.pace.idle)
        share = (tree.cpu_seconds() - before) / (time.monotonic() - started)
        return {"idle_percent": share * 100, "pss_mb": tree.pss() / 1e6}


SCENARIO = Scenario(
    title="Idle: 4 workers, 8 threads each, no request",
    columns={
        "idle_percent": Column("CPU (% of a core)", ".3f"),
        "pss_mb": Column("memory, PSS (MB)"),
    },
    measure=measure,
    fits=lambda server: server.supervises,
)
