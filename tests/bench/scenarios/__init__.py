"""Every scenario by its name on the command line, in the order of the report."""

from tests.bench.bench import Scenario
from tests.bench.scenarios import access_log, hazard, idle, mold, patience, reload, tls, work

SCENARIOS: dict[str, Scenario] = {
    **work.SCENARIOS,
    "access-log": access_log.SCENARIO,
    "tls": tls.SCENARIO,
    "idle": idle.SCENARIO,
    "mold": mold.SCENARIO,
    "hazard": hazard.SCENARIO,
    "reload": reload.SCENARIO,
    **patience.SCENARIOS,
}
