"""What the access log costs: hello world with it off, then on, in each round."""

from __future__ import annotations

from tests.bench.bench import Bench, Column, Sample, Scenario
from tests.bench.scenarios.work import WORK
from tests.bench.scenarios.work import measure as measure_work
from tests.bench.servers import Server


def measure(server: Server, bench: Bench) -> Sample:
    hello = WORK["hello"]
    off = measure_work(hello, server, bench)["cpu_us"]
    on = measure_work(hello, server, bench, access_log=bench.new_file("access.log"))["cpu_us"]
    return {"off_us": off, "on_us": on, "cost_us": on - off}


SCENARIO = Scenario(
    title="Access log to a file: hello world, 1 worker, 8 threads, 32 keep-alive connections",
    columns={
        "off_us": Column("CPU per request, log off (us)"),
        "on_us": Column("log on (us)"),
        "cost_us": Column("cost (us)"),
    },
    measure=measure,
    fits=lambda server: server.supervises,
)
