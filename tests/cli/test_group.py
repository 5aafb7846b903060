"""What is no command: something to serve, another tool's word, or a typo."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from superwsgi.cli.main import main
from superwsgi.cli.words import INSTEAD, STARTING, WORDS


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    return tmp_path


def refused(*words: str) -> str:
    done = CliRunner().invoke(main, words, prog_name="superwsgi")
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output
    return done.output


@pytest.mark.parametrize(
    "target", ["app:app", "shop.wsgi:application", "shop:make('x')", "./shop/app.py:app"]
)
def test_an_application_is_run_with_the_options_behind_it(folder: Path, target: str) -> None:
    (folder / "shop").mkdir()
    (folder / "shop" / "app.py").write_text("app = 1")
    assert "--bind: expected host:port" in refused(target, "--bind", "x")


@pytest.mark.parametrize("target", ["app.py", "."])
def test_a_file_or_a_folder_is_run(folder: Path, target: str) -> None:
    (folder / "app.py").write_text("def app(environ, start_response): return []")
    said = refused(target, "--bind", "x")
    assert "superwsgi: app.py defines app\n--bind: expected host:port" in said


def test_a_site_file_is_served_with_the_options_on_top(folder: Path) -> None:
    (folder / "site.yaml").write_text("app: app:app\nbind: y\nworkers: 0\n")
    said = refused("site.yaml", "--bind", "x")
    assert "--bind: expected host:port" in said
    assert "site.yaml:3:10: workers: expected" in said
    assert "'y'" not in said
    assert "nope.yaml: cannot be read" in refused("nope.yaml")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("restart shop", "superwsgi reload shop"),
        ("restart -c site.yaml", "superwsgi reload -c site.yaml"),
        ("graceful", "superwsgi reload"),
        ("Restart", "superwsgi reload"),
        ("start", "superwsgi run"),
        ("start app:app -w 4", "superwsgi run app:app -w 4"),
        ("start site.yaml", "superwsgi run site.yaml"),
        ("start -c site.yaml", "superwsgi serve -c site.yaml"),
        ("shutdown shop --wait", "superwsgi stop shop --wait"),
        ("ps", "superwsgi status"),
        ("monit", "superwsgi status --watch"),
        ("scale shop =4", "superwsgi workers shop =4"),
        ("configtest -c 'my site.yaml'", "superwsgi check -c 'my site.yaml'"),
        ("version", "superwsgi --version"),
        ("runserver", "superwsgi dev"),
        ("enable site.yaml", "superwsgi unit --install site.yaml"),
        ("help run", "superwsgi run --help"),
        ("stauts", "superwsgi status"),
        ("relaod shop", "superwsgi reload shop"),
        ("profil", "superwsgi profile"),
    ],
)
def test_a_word_of_another_tool_and_a_typo_are_answered_with_the_command(typed: str, meant: str) -> None:
    done = CliRunner().invoke(main, typed)
    assert done.exit_code == 2
    assert f"; did you mean: {meant}\n" in done.output


def test_a_site_is_not_started_by_its_name() -> None:
    said = refused("start", "shop")
    assert "superwsgi run app:app or superwsgi -c site.yaml" in said
    assert "systemctl start superwsgi-shop" in said


def test_a_bare_word_is_run_only_when_asked_for(folder: Path) -> None:
    assert "There is no command 'zebra'; superwsgi --help names them all" in refused("zebra")
    assert "There is no command 'blog'; did you mean: superwsgi logs" in refused("blog")
    (folder / "blog").mkdir()
    assert "There is no command 'blog'; did you mean: superwsgi run blog -w 4" in refused("blog", "-w", "4")


def test_every_hint_names_a_command_that_there_is() -> None:
    context = click.Context(main)
    for words in INSTEAD.values():
        first = words.split()[0]
        assert first.startswith("--") or main.get_command(context, first) is not None
    assert not {*main.modules} & {*INSTEAD, *WORDS, *STARTING}


def test_options_of_run_go_behind_it() -> None:
    assert "--bind goes behind a command: superwsgi run TARGET --bind" in refused("--bind", ":80", "app:app")
    assert "No such option" in refused("--nonsense")
    assert "superwsgi run site.yaml --set" in refused("serve", "site.yaml", "--set", "workers=1")
    assert "No such option" in refused("serve", "site.yaml", "--nonsense")
    assert "name one thing to serve, as in: superwsgi run x.yaml" in refused("-c", "x.yaml", "app:app")


def test_a_file_that_is_missing_is_shown_where_it_goes() -> None:
    assert "As in: superwsgi status -c site.yaml" in refused("status", "-c")


@pytest.mark.parametrize("command", ["serve", "check"])
def test_a_site_file_is_taken_without_its_option(folder: Path, command: str) -> None:
    (folder / "site.yaml").write_text("workers: 0\n")
    for words in ([command], [command, "site.yaml"], [command, "-c", "site.yaml"], ["-c", "site.yaml"]):
        assert "site.yaml:1:10: workers: expected" in refused(*words)
    assert "give only one of" in refused(command, "site.yaml", "-c", "site.yaml")


def test_a_site_file_is_not_made_up(folder: Path) -> None:
    assert "name the site file, as in: superwsgi serve -c site.yaml" in refused("serve")


@pytest.mark.parametrize("command", ["status", "reload", "stop", "config"])
def test_a_site_file_names_its_site(command: str) -> None:
    assert "nope.yaml: cannot be read" in refused(command, "nope.yaml")


@pytest.mark.parametrize("words", [[], ["run"], ["dev"], ["serve"], ["check"]])
def test_help_fits_eighty_columns(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = CliRunner().invoke(main, [*words, "--help"])
    assert done.exit_code == 0
    assert max(map(len, done.output.splitlines())) <= 80
