"""What a second worker is worth where it has a core: both on two cores, which the load shares with them."""

from __future__ import annotations

from functools import partial
from typing import Final

from tests.bench import wrk
from tests.bench.bench import Bench, Column, Sample, Scenario
from tests.bench.process import BenchError, free_port
from tests.bench.scenarios.work import WORK, Work
from tests.bench.servers import Job, Server

CONNECTIONS: Final = 32


def measure(work: Work, server: Server, bench: Bench) -> Sample:
    if bench.cores.server == bench.cores.load:
        raise BenchError("there is one core only")
    one, two = (_load(work, workers, server, bench) for workers in (1, 2))
    return {
        "one": one.rate,
        "one_p99_ms": one.p99_ms,
        "two": two.rate,
        "two_p99_ms": two.p99_ms,
        "ratio": two.rate / one.rate,
        "errors": one.errors + two.errors,
    }


def _load(work: Work, workers: int, server: Server, bench: Bench) -> wrk.Figures:
    job = Job(work.app, free_port(), bench.folder, workers=workers, threads=work.threads)
    with bench.serving(server, job, everywhere=True):
        load = partial(wrk.run, job.port, connections=CONNECTIONS, core=bench.cores.load)
        if bench.pace.warm_up:
            load(seconds=bench.pace.warm_up)
        return load(seconds=bench.pace.load)


COLUMNS: Final = {
    "one": Column("1 worker: requests/s", ",.0f"),
    "one_p99_ms": Column("p99 (ms)", ",.2f"),
    "two": Column("2 workers: requests/s", ",.0f"),
    "two_p99_ms": Column("p99 (ms)", ",.2f"),
    "ratio": Column("ratio", ",.2f"),
    "errors": Column("errors", ",.0f"),
}
SCENARIOS: Final = {
    f"cores-{name}": Scenario(
        f"{WORK[name].title}: 1 and 2 workers on two cores, load on one of these, {CONNECTIONS} clients",
        COLUMNS,
        partial(measure, WORK[name]),
        fits=lambda server: server.supervises,
    )
    for name in ("hello", "flask")
}
