"""Results as text: padded Markdown tables, which read as well in a terminal."""

from __future__ import annotations

import math
import statistics

from tests.bench.bench import Column, Scenario
from tests.bench.results import Results
from tests.bench.scenarios import SCENARIOS
from tests.bench.servers import OURS
from tests.bench.targets import verdicts


def text(results: Results) -> str:
    """The whole report: the machine, a table a scenario, what failed, the targets."""
    parts = [_machine(results)]
    parts += [_section(name, SCENARIOS[name], results) for name in SCENARIOS if name in results.samples]
    if results.failures:
        parts.append("## Left out\n\n" + "\n".join(f"- {failure}" for failure in results.failures))
    parts.append("## Targets\n\n```\n" + "\n".join(verdicts(results)) + "\n```")
    return "\n\n".join(parts) + "\n"


def table(rows: list[list[str]]) -> str:
    """A Markdown table of `rows`, the first of them its headings: text to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(row, widths) for row in [rows[0], rule, *rows[1:]])


def _line(cells: list[str], widths: list[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
    return f"| {' | '.join(padded)} |"


def _machine(results: Results) -> str:
    facts = results.machine | noise(results)
    return f"# {_title(results)}\n\n" + "\n".join(f"- {name}: {value}" for name, value in facts.items())


def _title(results: Results) -> str:
    build = results.machine.get(OURS, "").partition(":")[0]
    return ", ".join(filter(None, ["Bench", results.machine.get("Python"), build]))


def noise(results: Results) -> dict[str, str]:
    """What else ran: above a few percent, requests a second and latencies are not to be trusted."""
    worst = max(results.everywhere("others_percent"), default=None)
    if worst is None:
        return {}
    return {"Other processes": f"{others(results):.0f} % of a core (median), {worst:.0f} % (worst)"}


def others(results: Results) -> float:
    """Percent of a core that they took, in the median; 0 where nobody looked."""
    found = results.everywhere("others_percent")
    return statistics.median(found) if found else 0.0


def rounds(results: Results) -> str:
    counts = {len(samples) for servers in results.samples.values() for samples in servers.values()}
    return f"medians of {max(counts)} alternating rounds" if max(counts) > 1 else "one round"


def _section(name: str, scenario: Scenario, results: Results) -> str:
    heading = ["server", *(column.heading for column in scenario.columns.values())]
    rows = [[server, *_cells(name, scenario, server, results)] for server in results.samples[name]]
    return f"## {scenario.title}\n\n{table([heading, *rows])}"


def _cells(name: str, scenario: Scenario, server: str, results: Results) -> list[str]:
    medians = ((results.median(name, server, figure), column) for figure, column in scenario.columns.items())
    return ["" if median is None else written(median, column) for median, column in medians]


def written(value: float, column: Column) -> str:
    return format(value, column.format) if math.isfinite(value) else "never"
