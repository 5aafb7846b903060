"""Every scenario by its name on the command line, in the order of the report, and which are run unasked."""

from tests.bench.bench import Scenario
from tests.bench.scenarios import (
    access_log,
    cores,
    hazard,
    idle,
    mold,
    overload,
    patience,
    real,
    reload,
    stalls,
    streams,
    threads,
    tls,
    work,
)

SCENARIOS: dict[str, Scenario] = {
    **work.SCENARIOS,
    **threads.SCENARIOS,
    **stalls.SCENARIOS,
    **streams.SCENARIOS,
    **cores.SCENARIOS,
    "access-log": access_log.SCENARIO,
    "tls": tls.SCENARIO,
    "idle": idle.SCENARIO,
    "mold": mold.SCENARIO,
    "hazard": hazard.SCENARIO,
    "reload": reload.SCENARIO,
    **overload.SCENARIOS,
    **patience.SCENARIOS,
    **real.SCENARIOS,
}

REAL = tuple(real.SCENARIOS)
"""Real work, for which there are more servers, and which takes half an hour."""

README = ("hello", "flask", "body", "sleep", "mixed", "sequential")
"""What the README's table is made of."""

USUAL = (*README, "static", "mixed-300", "mixed-fixed", "mixed-fifo", "sleepers", "threads-at-rest")
"""And what else is told of threads. All the others take three times as long again."""
