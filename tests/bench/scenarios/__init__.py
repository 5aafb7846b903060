"""Every scenario by its name on the command line, in the order of the report, and which are run unasked."""

from tests.bench.bench import Scenario
from tests.bench.scenarios import access_log, hazard, idle, mold, patience, reload, threads, tls, work

SCENARIOS: dict[str, Scenario] = {
    **work.SCENARIOS,
    **threads.SCENARIOS,
    "access-log": access_log.SCENARIO,
    "tls": tls.SCENARIO,
    "idle": idle.SCENARIO,
    "mold": mold.SCENARIO,
    "hazard": hazard.SCENARIO,
    "reload": reload.SCENARIO,
    **patience.SCENARIOS,
}

README = ("hello", "flask", "body", "sleep", "mixed", "sequential")
"""What the README's table is made of."""

USUAL = (*README, "mixed-300", "mixed-fixed", "mixed-fifo", "sleepers", "threads-at-rest")
"""And what else is told of threads. All the others take three times as long again."""
