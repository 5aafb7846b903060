"""Reloads under load: the same keep-alive load without and with five HUPs, on one running server."""

from __future__ import annotations

import math
import statistics
import time

from tests.bench import wrk
from tests.bench.bench import Bench, Column, Sample, Scenario
from tests.bench.process import Tree, free_port, reload
from tests.bench.servers import Job, Server
from tests.bench.wrk import Wrk

RELOADS = 5
CONNECTIONS = 16
NEW_CODE_SECONDS = 20.0


def measure(server: Server, bench: Bench) -> Sample:
    job = Job("tests.bench.flask_app:app", free_port(), bench.folder, workers=2, threads=4)
    pause, core = bench.pace.between_reloads, bench.cores.load
    with bench.serving(server, job) as tree:
        quiet = wrk.run(job.port, math.ceil(RELOADS * pause), CONNECTIONS, core)
        with Wrk(job.port, math.ceil(RELOADS * (pause + NEW_CODE_SECONDS)), CONNECTIONS, core) as load:
            new_code = [_reload(tree, job.port, pause) for _ in range(RELOADS)]
            load.stop()
            reloading = load.figures()
    return {
        "quiet_ms": quiet.p99_ms,
        "reloading_ms": reloading.p99_ms,
        "ratio": reloading.p99_ms / quiet.p99_ms,
        "broken": reloading.errors,
        "new_code_s": statistics.median(new_code),
    }


def _reload(tree: Tree, port: int, pause: float) -> float:
    """HUP, and a pause once the new code answers. Returns the seconds from one to the other."""
    took = reload(tree, port, "/loaded", NEW_CODE_SECONDS)
    time.sleep(pause)
    return took


SCENARIO = Scenario(
    title=f"{RELOADS} reloads (HUP): Flask hello, 2 workers, 4 threads, {CONNECTIONS} keep-alive connections",
    columns={
        "quiet_ms": Column("p99 quiet (ms)", ",.2f"),
        "reloading_ms": Column("p99 reloading (ms)", ",.2f"),
        "ratio": Column("ratio", ",.2f"),
        "broken": Column("broken exchanges", ",.0f"),
        "new_code_s": Column("new code after (s)", ",.2f"),
    },
    measure=measure,
    fits=lambda server: server.supervises,
)
