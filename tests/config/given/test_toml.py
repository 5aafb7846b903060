"""`[tool.superwsgi]`: values as TOML has them, or as YAML."""

from __future__ import annotations

from pathlib import Path

import pytest

from superwsgi.config.errors import ConfigError
from superwsgi.config.given.command_line import CommandLine
from superwsgi.config.given.toml import Table
from superwsgi.config.loading import read_application
from superwsgi.config.sections import Elastic
from superwsgi.config.shown.effective import HIDDEN, keys


@pytest.mark.parametrize(
    "values",
    [
        {
            "workers": 3,
            "preload": False,
            "threads": {"min": 1, "max": 2},
            "bind": [":80"],
            "pidfile": "x.pid",
        },
        {
            "workers": "3",
            "preload": "false",
            "threads": '{"min": 1, "max": 2}',
            "bind": '[":80"]',
            "pidfile": '"x.pid"',
        },
    ],
)
def test_values(tmp_path: Path, values: dict[str, object]) -> None:
    site = read_application(
        "shop:app", "/srv", "TARGET", CommandLine(), {}, table=Table(values, tmp_path)
    ).faultless()
    assert (site.workers, site.preload, site.threads) == (3, False, Elastic(min=1, max=2))
    assert (str(site.bind[0]), site.pidfile) == ("0.0.0.0:80", f"{tmp_path}/x.pid")


def test_secrets_are_hidden_and_variables_put_in(tmp_path: Path) -> None:
    table = Table({"env": {"A": "${SECRET}"}, "name": "${NAME}"}, tmp_path)
    environ = {"SECRET": "hunter2", "NAME": "shop"}
    site = read_application("shop:app", "/srv", "TARGET", CommandLine(), environ, table=table).faultless()
    found = {key.name: (key.text, key.source) for key in keys(site)}
    assert (site.env["A"], site.name) == ("hunter2", "shop")
    assert found["env.A"] == (HIDDEN, "[tool.superwsgi], ${SECRET}")


def test_what_is_wrong_says_where(tmp_path: Path) -> None:
    table = Table({"timeouts": {"reqest": "5m"}}, tmp_path)
    with pytest.raises(ConfigError) as caught:
        read_application("shop:app", "/srv", "TARGET", CommandLine(), {}, table=table).faultless()
    where = "[tool.superwsgi] of pyproject.toml"
    assert str(caught.value) == (f"{where}: unknown key 'timeouts.reqest': did you mean 'timeouts.request'?")
