"""`python -m tests.bench.publish OLDEST.json NEWEST.json`: what the README says about speed, and results.md,
from runs on several versions of Python. Measures nothing, and takes only runs of the compiled wheel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click

from tests.bench import report
from tests.bench.machine import COMPILED, PLAIN
from tests.bench.results import Results
from tests.bench.scenarios import SCENARIOS
from tests.bench.servers import OURS, REPOSITORY

SERVERS = {
    OURS: OURS,
    "gunicorn": "gunicorn gthread",
    "waitress": "waitress",
    "granian": "granian",
    "bjoern": "bjoern",
}
"""Those of the README, by the name that each has there."""

_PIECE = re.compile(r"(?<=<!-- bench -->\n).*(?=\n<!-- /bench -->)", re.DOTALL)
_NOT_MEASURED = "–"


@dataclass(frozen=True)
class Row:
    """One figure of a scenario in the README's table."""

    text: str
    scenario: str
    figure: str


ROWS = (
    Row("hello, 32 keep-alive connections: CPU per request (us)", "hello", "cpu_us"),
    Row("the same: p99 (ms)", "hello", "p99_ms"),
    Row("Flask hello: requests/s", "flask", "rate"),
    Row("the same: p99 (ms)", "flask", "p99_ms"),
    Row("100 KB: requests/s", "body", "rate"),
    Row("app that sleeps 10 ms, 64 threads: requests/s", "sleep", "rate"),
    Row(
        "60 clients of a page of 100 ms, 6 of a quick one, default threads: quick p50 (ms)", "mixed", "p50_ms"
    ),
    Row("the same: quick p99 (ms)", "mixed", "p99_ms"),
    Row("the same: slow requests/s", "mixed", "slow_rate"),
    Row(
        "one client, page after page of 5 ms, default threads: threads it meets", "sequential", "usual_blocks"
    ),
)


@click.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
def main(files: tuple[Path, ...]) -> None:
    """Write both from FILES, what `python -m tests.bench --json` has written, oldest Python first. Several
    runs on one Python, of different scenarios, count as one."""
    found = {path: Results.read(path) for path in files}
    for path, run in found.items():
        if (build := run.machine.get(OURS, PLAIN)) != COMPILED:
            raise click.ClickException(f"{path}: measured on {build}; install a C compiler, and measure anew")
    runs = one_a_python(found.values())
    readme, tables = REPOSITORY / "README.md", Path(__file__).with_name("results.md")
    readme.write_text(with_piece(readme.read_text(), piece(runs)))
    tables.write_text("\n".join(map(report.text, runs)))


def one_a_python(found: Iterable[Results]) -> list[Results]:
    """Joined, in the order in which each Python comes first."""
    runs: dict[str, Results] = {}
    for run in found:
        first = runs.setdefault(run.machine["Python"], Results(run.machine))
        first.samples |= run.samples
        first.failures += run.failures
    return list(runs.values())


def with_piece(page: str, text: str) -> str:
    """`page` with `text` between its marks."""
    return _PIECE.sub(lambda _: text, page)


def piece(runs: list[Results]) -> str:
    """Where the figures come from, and the table: in each cell one figure a run."""
    rows = [[row.text, *(_cell(row, server, runs) for server in SERVERS)] for row in ROWS if _has(row, runs)]
    return f"{_origin(runs)}\n\n{report.table([['', *SERVERS.values()], *rows])}"


def _origin(runs: list[Results]) -> str:
    machine = runs[0].machine
    pythons = ", then ".join(run.machine["Python"] for run in runs)
    return (
        f"{machine['CPU']}; {machine['Kernel']}; compiled; {report.rounds(runs[0])}.\n"
        f"In each cell {pythons}. Default threads are 64 for Gunicorn, whose own default is one\n"
        "([all tables](tests/bench/results.md)):"
    )


def _has(row: Row, runs: list[Results]) -> bool:
    return any(row.scenario in run.samples for run in runs)


def _cell(row: Row, server: str, runs: list[Results]) -> str:
    medians = [run.median(row.scenario, server, row.figure) for run in runs]
    if all(value is None for value in medians):
        return _NOT_MEASURED
    column = SCENARIOS[row.scenario].columns[row.figure]
    return " / ".join(_NOT_MEASURED if value is None else report.written(value, column) for value in medians)


if __name__ == "__main__":
    main(prog_name="python -m tests.bench.publish")
