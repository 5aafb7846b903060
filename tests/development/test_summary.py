"""What a developer is told at the start."""

from pathlib import Path

from superwsgi.config.given.command_line import CommandLine
from superwsgi.config.given.toml import Table
from superwsgi.config.loading import read_application
from superwsgi.development.project import Project
from superwsgi.development.shown.summary import facts


def _told(folder: Path, table: dict[str, object]) -> list[tuple[str, str]]:
    said = CommandLine({}, {}, (), folder=folder)
    site = read_application(
        "app:app", str(folder), "app.py defines app", said, {}, table=Table(table, folder)
    ).site
    project = Project("app.py defines app", None, lambda: site, str(folder), frozenset())
    return list(facts(project, site, ["http://127.0.0.1:1"], watches=True))


def test_keys_of_the_project_that_are_for_production(tmp_path: Path) -> None:
    told = _told(tmp_path, {"workers": 3, "env": {"A": "1"}, "bind": "127.0.0.1:80"})
    assert ("pyproject", "used: env") in told
    assert ("", "not used here: bind, workers") in told


def test_no_word_of_what_says_nothing(tmp_path: Path) -> None:
    assert [name for name, _ in _told(tmp_path, {})] == [
        *("address", "application", "runs", "watches", "to end it")
    ]


def test_variables_that_are_not_read(tmp_path: Path) -> None:
    (tmp_path / ".env").touch()
    assert ("environment", ".env is not read: for that, --env-file .env") in _told(tmp_path, {})
