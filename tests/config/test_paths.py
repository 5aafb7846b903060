"""`paths` in a site file: what it may say, what is wrong with it, and what is only surprising."""

from __future__ import annotations

from pathlib import Path

import pytest

from superwsgi.config.loading import load
from superwsgi.config.parts.paths import PathRule
from superwsgi.config.shown.effective import keys
from superwsgi.config.surprises import surprises
from tests.config.sites import APP, loaded, problems

PLACES = "/prefix, host or host/prefix"
PATH = "a path such as /healthz or /static"


def test_everything(tmp_path: Path) -> None:
    text = """
paths:
  /reports/: {request: 5m, slow: 1m, threads: 2}
  /upload: {body: 2G, slow: off}
  API.example.com/v1: {log: off, body: 0}
  localhost: {log: on}
  /nothing:
"""
    assert loaded(tmp_path, APP + text).paths == {
        "/reports": PathRule(request=300.0, slow=60.0, threads=2),
        "/upload": PathRule(body=2 << 30, slow=0.0),
        "api.example.com/v1": PathRule(log=False, body=0),
        "localhost/": PathRule(log=True),
        "/nothing": PathRule(),
    }
    assert loaded(tmp_path, APP).paths == {}


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ("{reports: {}}", f"2:9: paths reports: expected {PLACES}, got 'reports': did you mean '/reports'?"),
        ("{'/a?b': {}}", f"2:9: paths /a?b: expected {PLACES}, got '/a?b': a prefix has no empty part"),
        ("{/a%20b: {}}", f"2:9: paths /a%20b: expected {PLACES}, got '/a%20b': write the prefix decoded"),
        ("{//a: {}}", f"2:9: paths //a: expected {PLACES}"),
        ("{/a/../b: {}}", f"2:9: paths /a/../b: expected {PATH}"),
        ("{'*': {}}", f"2:9: paths *: expected {PLACES}, got '*': for all paths write /"),
        (
            "{'*.example.com/': {}}",
            f"2:9: paths *.example.com/: expected {PLACES}, got '*.example.com/': a host is written out",
        ),
        ("{/a/*: {}}", f"2:9: paths /a/*: expected {PATH}, got '/a/*': did you mean '/a'?"),
        ("{'http://x/y': {}}", f"2:9: paths http://x/y: expected {PLACES}"),
        ("{'shop:80/y': {}}", f"2:9: paths shop:80/y: expected {PLACES}, got 'shop:80/y': a host has no"),
        ('{"": {}}', f"2:9: paths : expected {PLACES}, got '': for all paths write /"),
        ("{/a;b: {}}", "2:9: paths /a;b: expected a path such as /reports, got '/a;b': it has no parameters"),
        ("{/a: {}, /a/: {}}", "2:17: paths /a/: is the same as '/a' above"),
        ("{/a: {requests: 1}}", "2:14: unknown key 'paths /a.requests'"),
        (
            "{/a: {timeout: 1s}}",
            "2:14: unknown key 'paths /a.timeout': known: request, slow, threads, body, log",
        ),
        ("{/a: {request: 0}}", "2:23: paths /a.request: expected a duration above 0"),
        ("{/a: {request: fast}}", "2:23: paths /a.request: expected a duration such as"),
        ("{/a: {slow: 0}}", "2:20: paths /a.slow: expected a duration such as 250ms, 30s or 5m, or off"),
        ("{/a: {threads: 0}}", "2:23: paths /a.threads: expected a whole number from 1 to 10000"),
        ("{/a: {body: big}}", "2:20: paths /a.body: expected a size such as"),
        ("{/a: {log: maybe}}", "2:19: paths /a.log: expected on or off"),
        ("{/a: 5m}", "2:13: paths /a: expected a mapping of keys, got '5m'"),
        ("/a", "2:8: paths: expected a mapping of keys"),
        ("[/a]", "2:8: paths: expected a mapping of keys"),
        (
            "{/a/: {threads: 33}}",
            "2:24: paths /a.threads must not be above threads (32): a worker runs no more",
        ),
    ],
)
def test_mistakes(tmp_path: Path, paths: str, said: str) -> None:
    (found,) = problems(tmp_path, f"{APP}paths: {paths}\n")
    assert found.startswith(said)


@pytest.mark.parametrize(
    ("rest", "most"),
    [("threads: 4\n", 4), ("threads: {min: 1, max: 4}\n", 4)],
)
def test_more_threads_than_there_are(tmp_path: Path, rest: str, most: int) -> None:
    allowed = loaded(tmp_path, f"{APP}{rest}paths:\n  /a: {{threads: {most}}}\n")
    assert allowed.paths["/a"].threads == most
    (found,) = problems(tmp_path, f"{APP}{rest}paths:\n  /a: {{threads: 5}}\n")
    assert found.startswith("4:17: paths /a.threads must not be above threads (4)")


def test_nothing_is_logged_anyway(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, f"{APP}paths: {{/a: {{log: off}}}}\nlog: {{access: off}}\n")
    assert found.startswith("2:19: paths /a.log has no effect while log.access is off")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("paths: {/a: {request: 50s}, /b: {slow: 1m}}", []),
        ("paths: {/a: {request: 5m}}\ntimeouts: {graceful: 5m}", []),
        (
            "paths: {/a: {request: 5m}}",
            [
                "/a: a request may be silent for 300s, "
                "but a reload or stop cuts it off after 30s (timeouts.graceful)"
            ],
        ),
        (
            "paths: {/: {log: off}, /a: {threads: 2, body: 1}, /a/b: {body: 1}, /ab: {log: off}}",
            [
                "/a: log is as for the whole site there, not as in /",
                "/a/b: threads is as for the whole site there, not as in /a",
                "/a/b: log is as for the whole site there, not as in /",
            ],
        ),
        (
            "paths: {/a: {threads: 2}, shop.example/: {body: 1}, x.example/b: {log: off}}",
            ["shop.example/: threads is as for the whole site there, not as in /a"],
        ),
    ],
)
def test_surprises(tmp_path: Path, text: str, said: list[str]) -> None:
    assert surprises(loaded(tmp_path, f"{APP}{text}\n")) == [f"paths: {each}" for each in said]


def test_it_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(
        f"{APP}paths:\n  /reports/: {{request: 5m, slow: off, threads: 2}}\n  /b: {{log: off, body: 0}}\n"
    )
    shown = {key.name: (key.text, key.source) for key in keys(load(file, {}))}
    assert shown["paths./reports"] == ("{request: 300s, slow: off, threads: 2}", "site.yaml:3")
    assert shown["paths./b"] == ("{body: 0, log: off}", "site.yaml:4")
