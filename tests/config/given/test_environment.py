"""What a hosting platform says: WEB_CONCURRENCY, PORT and SCRIPT_NAME."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from superwsgi.config.errors import ConfigError
from superwsgi.config.given.command_line import CommandLine
from superwsgi.config.loading import from_options, read_application
from superwsgi.config.schema import Site
from superwsgi.config.shown.effective import keys

BOTH = {"PORT": "5000", "WEB_CONCURRENCY": "3"}


def site_of(environ: Mapping[str, str], said: CommandLine | None = None, host: str = "0.0.0.0") -> Site:
    return read_application(
        "shop:app", "/srv", "TARGET", said or CommandLine(), environ, port_host=host
    ).faultless()


def test_they_say_where_and_how_many() -> None:
    site = site_of(BOTH)
    shown = {key.name: (key.text, key.source) for key in keys(site)}
    assert shown["bind"] == ("0.0.0.0:5000", "${PORT}")
    assert shown["workers"] == ("3", "${WEB_CONCURRENCY}")
    assert str(site_of(BOTH, host="127.0.0.1").bind[0]) == "127.0.0.1:5000"


def test_an_empty_one_says_nothing() -> None:
    site = site_of({"PORT": "", "WEB_CONCURRENCY": " "})
    assert (str(site.bind[0]), site.workers) == ("127.0.0.1:8000", "auto")


@pytest.mark.parametrize(
    "said",
    [
        CommandLine({"bind": ("127.0.0.1:1",), "workers": "2"}, {}),
        CommandLine(settings=[("bind", "127.0.0.1:1"), ("workers", "{min: 2, max: 3}")]),
    ],
)
def test_options_go_before_them_whatever_they_are(said: CommandLine) -> None:
    site = site_of({"PORT": "x", "WEB_CONCURRENCY": "x"}, said)
    assert str(site.bind[0]) == "127.0.0.1:1"
    assert site.worker_bounds[0] == 2


def test_they_go_before_defaults() -> None:
    said = CommandLine(defaults=[("workers", "1"), ("threads", "2")])
    assert (site_of(BOTH, said).workers, site_of({}, said).workers, site_of(BOTH, said).threads) == (3, 1, 2)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("PORT", "http", "expected the number of a port, got 'http'"),
        ("PORT", "99999", "expected the number of a port, got '99999'"),
        ("PORT", "tcp://10.0.0.1:80", "expected the number of a port, got 'tcp://10.0.0.1:80'"),
        ("WEB_CONCURRENCY", "auto", "expected a number of workers from 1 to 1024, got 'auto'"),
        ("WEB_CONCURRENCY", "0", "expected a number of workers from 1 to 1024, got '0'"),
        ("WEB_CONCURRENCY", "2.5", "expected a number of workers from 1 to 1024, got '2.5'"),
    ],
)
def test_what_is_no_number_names_the_variable(name: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        site_of({name: text})
    assert str(caught.value).startswith(f"environment variable {name}: {said}: unset it, or ")


def test_a_script_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "x")
    assert str(from_options("shop:app", chdir=".").bind[0]) == "127.0.0.1:8000"


@pytest.mark.parametrize(
    ("environ", "said", "root", "source"),
    [
        ({"SCRIPT_NAME": "/shop"}, CommandLine(), "/shop", "${SCRIPT_NAME}"),
        ({"SCRIPT_NAME": "/shop/"}, CommandLine(), "/shop", "${SCRIPT_NAME}"),
        ({"SCRIPT_NAME": ""}, CommandLine(), "/", "default"),
        ({"SCRIPT_NAME": "/x"}, CommandLine(settings=[("root", "/shop")]), "/shop", "--set"),
        ({"SCRIPT_NAME": "/x"}, CommandLine(settings=[("env.SCRIPT_NAME", "/shop")]), "/shop", "--set"),
        (
            {"SCRIPT_NAME": "x"},
            CommandLine({"env": {"SCRIPT_NAME": "/shop"}}, {"env": "--env"}),
            "/shop",
            "--env",
        ),
    ],
)
def test_a_path_that_the_site_is_below(
    environ: Mapping[str, str], said: CommandLine, root: str, source: str
) -> None:
    site = site_of(environ, said)
    assert (site.root, {key.name: key.source for key in keys(site)}["root"]) == (root, source)


def test_the_path_of_an_env_file_goes_first(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SCRIPT_NAME=/shop\nPORT=81\n")
    said = CommandLine({"env_file": str(tmp_path / ".env")}, {"env_file": "--env-file"})
    site = site_of({"SCRIPT_NAME": "/other", "PORT": "80"}, said)
    assert (site.root, str(site.bind[0])) == ("/shop", "0.0.0.0:80")


def test_a_path_that_is_none_names_the_variable() -> None:
    with pytest.raises(
        ConfigError, match=r"^environment variable SCRIPT_NAME: expected a path such as /shop"
    ):
        site_of({"SCRIPT_NAME": "/a//b"})


def test_what_an_application_needs_is_set_where_nobody_sets_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\n")
    said = CommandLine({"env_file": str(tmp_path / ".env"), "env": {"B": "option"}}, {})
    needs = {"A": "found", "B": "found", "C": "found"}
    site = read_application("shop:app", "/srv", "app.py defines app", said, {}, env=needs).faultless()
    assert site.env == {"A": "file", "B": "option", "C": "found"}
