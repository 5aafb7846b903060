"""The README's piece from runs on several Pythons."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from tests.bench import publish
from tests.bench.machine import COMPILED, PLAIN
from tests.bench.results import Results
from tests.bench.scenarios import README, REAL, SCENARIOS
from tests.bench.servers import OURS, REPOSITORY


def run_on(python: str, build: str = COMPILED, **rates: float) -> Results:
    """A run in which each of the servers answered so many Flask pages a second."""
    machine = {"CPU": "a machine", "Kernel": "Linux", "Python": python, OURS: build}
    return Results(
        machine, {"flask": {name: [{"rate": rate, "p99_ms": 1.0}] for name, rate in rates.items()}}
    )


def real_run(python: str, **rates: float) -> Results:
    run = run_on(python, **rates)
    figures = dict.fromkeys(SCENARIOS["real-json"].columns, 1.0) | {"errors": 0.0}
    run.samples = {"real-json": {name: [figures | {"rate": rate}] for name, rate in rates.items()}}
    run.failures = ["waitress in real-json: it answers wrongly"]
    return run


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """What is written, in another place."""
    files = {name: tmp_path / name for name in ("README_FILE", "TABLES", "PICTURE")}
    files["README_FILE"].write_text("<!-- bench -->\nso fast\n<!-- /bench -->\n")
    pieces = {"usual": "all that was there", "real": "what real work there was"}
    files["TABLES"].write_text(
        "".join(f"<!-- {mark} -->\n{text}\n<!-- /{mark} -->\n" for mark, text in pieces.items())
    )
    for name, file in files.items():
        monkeypatch.setattr(publish, name, file)
    monkeypatch.setattr(publish, "PICTURE", tmp_path / "results-real.png")
    return files | {"PICTURE": tmp_path / "results-real.png"}


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
    page = publish.with_piece((REPOSITORY / "README.md").read_text(), "bench", "so fast")
    assert page.count("so fast") == 1


def test_the_tables_have_a_place_for_real_work_and_one_for_all_other() -> None:
    page = publish.TABLES.read_text()
    for mark in ("usual", "real"):
        page = publish.with_piece(page, mark, f"{mark} figures")
    assert page.count("usual figures") == page.count("real figures") == 1
    assert len(page.splitlines()) < 10


def test_real_work_is_written_beside_what_there_is(pages: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    before = pages["README_FILE"].read_text()
    for number, python in enumerate(("CPython 3.10.13", "CPython 3.13.0")):
        real_run(python, superwsgi=7000.0, granian=6000.0).save(tmp_path / f"{number}.json")
    publish.main.main([str(tmp_path / "0.json"), str(tmp_path / "1.json")], standalone_mode=False)
    tables = pages["TABLES"].read_text()
    assert "all that was there" in tables
    assert tables.count("## Flask: 20 products as JSON") == 2
    assert "- waitress in real-json: it answers wrongly" in tables
    assert "PASS  real-json: requests/s, of the best peer's: 1.17" in tables
    assert "![Real work, CPython 3.13.0](results-real.png)" in tables
    assert pages["PICTURE"].read_bytes().startswith(b"\x89PNG")
    assert pages["README_FILE"].read_text() == before


def test_all_other_work_leaves_real_work_alone(pages: dict[str, Path], tmp_path: Path) -> None:
    run = run_on("CPython 3.13.0")
    run.samples["flask"] = {OURS: [dict.fromkeys(SCENARIOS["flask"].columns, 1.0) | {"rate": 7000.0}]}
    run.save(tmp_path / "run.json")
    publish.main.main([str(tmp_path / "run.json")], standalone_mode=False)
    tables = pages["TABLES"].read_text()
    assert "all that was there" not in tables
    assert "what real work there was" in tables
    assert "7,000" in pages["README_FILE"].read_text()


def test_a_busy_machine_is_not_published(tmp_path: Path) -> None:
    path, run = tmp_path / "run.json", run_on("CPython 3.13.0", superwsgi=7000.0)
    run.samples["flask"][OURS][0]["others_percent"] = 90.0
    run.save(path)
    with pytest.raises(click.ClickException, match="took 90 % of a core"):
        publish.main.main([str(path)], standalone_mode=False)


def test_parts_of_a_run_name_all_servers_once() -> None:
    parts = [run_on("CPython 3.13.0", superwsgi=7000.0) for _ in range(2)]
    parts[0].machine["Servers"], parts[1].machine["Servers"] = "superwsgi 1, bjoern 3", "superwsgi 1, uwsgi 2"
    (joined,) = publish.one_a_python(parts)
    assert joined.machine["Servers"] == "superwsgi 1, bjoern 3, uwsgi 2"


def test_a_file_of_both_kinds_is_two() -> None:
    run = real_run("CPython 3.13.0", superwsgi=7000.0)
    run.samples |= run_on("CPython 3.13.0", superwsgi=8000.0).samples
    run.failures.append("bjoern in flask: no")
    assert (list(run.of(["flask"]).samples), run.of(["flask"]).failures) == (
        ["flask"],
        ["bjoern in flask: no"],
    )
    assert list(run.of(REAL).samples) == ["real-json"]
    assert run.of(REAL).failures == ["waitress in real-json: it answers wrongly"]


def row(piece: str, text: str) -> list[str]:
    """The cells of the row that begins with `text`."""
    line = next(line for line in piece.splitlines() if line.startswith(f"| {text} "))
    return [cell.strip() for cell in line.strip("|").split("|")[1:]]
