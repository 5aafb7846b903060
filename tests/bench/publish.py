"""`python -m tests.bench.publish OLDEST.json NEWEST.json`: what the README says about speed, and results.md,
from runs on several versions of Python. Measures nothing, and takes only runs of the compiled wheel, on a
machine that did nothing else. Real work has a piece of results.md of its own; one that the files have nothing
of stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click

from tests.bench import report
from tests.bench.machine import COMPILED, PLAIN
from tests.bench.plotter import plotter
from tests.bench.results import Results
from tests.bench.scenarios import REAL, SCENARIOS
from tests.bench.servers import OURS, REPOSITORY

SERVERS = {
    OURS: OURS,
    "gunicorn": "gunicorn gthread",
    "waitress": "waitress",
    "granian": "granian",
    "bjoern": "bjoern",
}
"""Those of the README, by the name that each has there."""

README_FILE = REPOSITORY / "README.md"
TABLES = Path(__file__).with_name("results.md")
PICTURE = Path(__file__).with_name("results-real.png")

QUIET = 25.0
"""Percent of a core that other processes may have taken, in the median."""

_NOT_MEASURED = "–"

_USUAL = tuple(name for name in SCENARIOS if name not in REAL)


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
    found = [_read(path) for path in files]
    usual, real = (one_a_python(run.of(names) for run in found) for names in (_USUAL, REAL))
    if any(_has(row, usual) for row in ROWS):
        _write(README_FILE, "bench", piece(usual))
    if usual:
        _write(TABLES, "usual", "\n".join(map(report.text, usual)))
    if real:
        plotter()(real[-1], PICTURE)
        _write(TABLES, "real", real_piece(real))


def _read(path: Path) -> Results:
    """Raises ClickException where it is not to be published."""
    run = Results.read(path)
    if (build := run.machine.get(OURS, PLAIN)) != COMPILED:
        raise click.ClickException(f"{path}: measured on {build}; install a C compiler, and measure anew")
    if (others := report.others(run)) > QUIET:
        raise click.ClickException(
            f"{path}: other processes took {others:.0f} % of a core; measure anew while the machine is quiet"
        )
    return run


def _write(page: Path, mark: str, text: str) -> None:
    page.write_text(with_piece(page.read_text(), mark, text))


def one_a_python(found: Iterable[Results]) -> list[Results]:
    """Joined, in the order in which each Python comes first; without those that have no sample."""
    runs: dict[str, Results] = {}
    for run in found:
        if run.samples:
            first = runs.setdefault(run.machine["Python"], Results(dict(run.machine)))
            first.join(run)
    return list(runs.values())


def real_piece(runs: list[Results]) -> str:
    """The picture is of the newest Python."""
    picture = f"![Real work, {runs[-1].machine['Python']}]({PICTURE.name})"
    return "\n".join([f"{picture}\n", *map(report.text, runs)])


def with_piece(page: str, mark: str, text: str) -> str:
    """`page` with `text` between its marks of that name."""
    marks = re.compile(rf"(?<=<!-- {mark} -->\n).*(?=\n<!-- /{mark} -->)", re.DOTALL)
    return marks.sub(lambda _: text, page)


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
