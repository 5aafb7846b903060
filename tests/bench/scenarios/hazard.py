"""An application that must not be forked: what it costs to have found that out by importing it."""

from __future__ import annotations

import time

from tests.bench.bench import Bench, Column, Sample, Scenario
from tests.bench.process import free_port, reload
from tests.bench.servers import OURS, Job, Server

APP = "tests.bench.slow_app:app"
WORKERS = 2
SECONDS = 30.0


def measure(server: Server, bench: Bench) -> Sample:
    looking, blind = _first_pages(server, bench, preload=True), _first_pages(server, bench, preload=False)
    start, reload = (auto / never for auto, never in zip(looking, blind, strict=True))
    return {"auto_s": looking[0], "never_s": blind[0], "start": start, "reload": reload}


def _first_pages(server: Server, bench: Bench, *, preload: bool) -> tuple[float, float]:
    """Seconds from the start to the first page, and from HUP to the first one of the new code."""
    job = Job(APP, free_port(), bench.folder, workers=WORKERS, preload=preload)
    began = time.monotonic()
    with bench.serving(server, job) as tree:
        start = time.monotonic() - began
        return start, reload(tree, job.port, "/", SECONDS)


SCENARIO = Scenario(
    title=f"2 s of import that leave a pipe open: the first page, {WORKERS} workers",
    columns={
        "auto_s": Column("preload: auto (s)", ",.2f"),
        "never_s": Column("preload: false (s)", ",.2f"),
        "start": Column("ratio at start", ",.2f"),
        "reload": Column("ratio at HUP", ",.2f"),
    },
    measure=measure,
    fits=lambda server: server.package == OURS,
)
