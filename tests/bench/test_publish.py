"""The README's piece from runs on several Pythons."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from tests.bench import publish
from tests.bench.machine import COMPILED, PLAIN
from tests.bench.results import Results
from tests.bench.scenarios import README, SCENARIOS
from tests.bench.servers import OURS, REPOSITORY


def run_on(python: str, build: str = COMPILED, **rates: float) -> Results:
    """A run in which each of the servers answered so many Flask pages a second."""
    machine = {"CPU": "a machine", "Kernel": "Linux", "Python": python, OURS: build}
    return Results(
        machine, {"flask": {name: [{"rate": rate, "p99_ms": 1.0}] for name, rate in rates.items()}}
    )


def test_a_cell_has_one_figure_a_python() -> None:
    piece = publish.piece(
        [run_on("CPython 3.10.13", superwsgi=7000.0), run_on("CPython 3.13.0", superwsgi=8000.0)]
    )
    assert "a machine; Linux; compiled; one round" in piece
    assert "CPython 3.10.13, then CPython 3.13.0" in piece
    assert row(piece, "Flask hello: requests/s")[0] == "7,000 / 8,000"


def test_a_peer_that_does_not_build_on_one_of_them_has_a_dash_there() -> None:
    piece = publish.piece(
        [run_on("CPython 3.10.13", bjoern=7000.0), run_on("CPython 3.13.0", superwsgi=8000.0)]
    )
    cells = row(piece, "Flask hello: requests/s")
    assert (cells[0], cells[1], cells[-1]) == ("– / 8,000", "–", "7,000 / –")


def test_what_was_not_measured_is_no_row() -> None:
    assert "100 KB" not in publish.piece([run_on("CPython 3.13.0", superwsgi=7000.0)])


def test_runs_of_different_scenarios_on_one_python_are_one() -> None:
    flask, mixed = (run_on("CPython 3.13.0", superwsgi=8000.0) for _ in range(2))
    mixed.samples = {"mixed": mixed.samples["flask"]}
    runs = publish.one_a_python([run_on("CPython 3.10.13"), flask, mixed])
    assert [(run.machine["Python"], list(run.samples)) for run in runs] == [
        ("CPython 3.10.13", ["flask"]),
        ("CPython 3.13.0", ["flask", "mixed"]),
    ]


def test_plain_python_is_not_published(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    run_on("CPython 3.13.0", PLAIN, superwsgi=7000.0).save(path)
    with pytest.raises(click.ClickException, match="measured on plain Python"):
        publish.main.main([str(path)], standalone_mode=False)


def test_the_table_is_of_what_the_bench_measures_for_it() -> None:
    assert {row.scenario for row in publish.ROWS} == set(README)
    assert all(row.figure in SCENARIOS[row.scenario].columns for row in publish.ROWS)


def test_the_readme_has_a_place_for_it() -> None:
    assert publish.with_piece((REPOSITORY / "README.md").read_text(), "so fast").count("so fast") == 1


def row(piece: str, text: str) -> list[str]:
    """The cells of the row that begins with `text`."""
    line = next(line for line in piece.splitlines() if line.startswith(f"| {text} "))
    return [cell.strip() for cell in line.strip("|").split("|")[1:]]
