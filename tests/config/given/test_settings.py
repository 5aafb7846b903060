"""`--set KEY=VALUE`: how keys are taken apart, how values are read, and what is said of wrong ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from superwsgi.config.errors import ConfigError
from superwsgi.config.given.command_line import CommandLine
from superwsgi.config.given.settings import keys_in
from superwsgi.config.loading import load, read_application
from superwsgi.config.schema import Site
from superwsgi.config.sections import Elastic, ElasticWorkers
from superwsgi.config.shown.effective import HIDDEN, keys

SECRET = "hunter2"


def site_of(*settings: str, environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Site:
    said = CommandLine(settings=[_pair(each) for each in settings], folder=folder)
    return read_application("shop:app", "/srv/shop", "TARGET", said, environ or {}).faultless()


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def refused(*settings: str) -> str:
    with pytest.raises(ConfigError) as caught:
        site_of(*settings)
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("workers", ["workers"]),
        ("timeouts.request", ["timeouts", "request"]),
        ("threads.max", ["threads", "max"]),
        ("env.DEBUG", ["env", "DEBUG"]),
        ("paths./reports.request", ["paths", "/reports", "request"]),
        ("paths./v1.2/reports.request", ["paths", "/v1.2/reports", "request"]),
        ("paths.api.example.com/v1.slow", ["paths", "api.example.com/v1", "slow"]),
        ('paths."/v1.slow".slow', ["paths", "/v1.slow", "slow"]),
        ("paths.'/v1.slow'.slow", ["paths", "/v1.slow", "slow"]),
        ("apps.api.example.com/v1", ["apps", "api.example.com/v1"]),
        ("log.sample./v1.2", ["log", "sample", "/v1.2"]),
        ("companions.mail", ["companions", "mail"]),
        ("companions.mail.count", ["companions", "mail", "count"]),
        ("companions.mail.memory.hard", ["companions", "mail", "memory", "hard"]),
        ("companions.mail.memory.hrd", ["companions", "mail", "memory", "hrd"]),
        ("companions.mail.cont", ["companions", "mail", "cont"]),
        ("paths./reports.reqest", ["paths", "/reports", "reqest"]),
        ("timeouts.request.x", ["timeouts", "request", "x"]),
        ("nonsense.x.y", ["nonsense", "x", "y"]),
        ("a..b", ["a", "", "b"]),
        ("", [""]),
    ],
)
def test_a_key_is_taken_apart(key: str, found: list[str]) -> None:
    assert list(keys_in(key, whole=False)) == found


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("paths./v1.slow", ["paths", "/v1.slow"]),
        ("companions.mail.memory", ["companions", "mail", "memory"]),
        ("companions.mail", ["companions", "mail"]),
        ("timeouts", ["timeouts"]),
    ],
)
def test_a_key_of_a_mapping_ends_where_one_may_be(key: str, found: list[str]) -> None:
    assert list(keys_in(key, whole=True)) == found


def test_values_are_yaml() -> None:
    site = site_of(
        "timeouts.request=5m", 'bind=[":80", unix:/run/x]', "workers={min: 2, max: 8}", "umask=0027", "user="
    )
    assert site.timeouts.request == 300
    assert [str(each) for each in site.bind] == ["0.0.0.0:80", "unix:/run/x"]
    assert (site.workers, site.umask, site.user) == (ElasticWorkers(min=2, max=8), 0o027, None)


def test_later_ones_win_and_mappings_are_merged() -> None:
    site = site_of(
        "paths={/a: {request: 1s, slow: 2s}}",
        "paths./a.request=3s",
        "paths={/b: {request: 4s}}",
        "threads.max=9",
        "threads=8",
        "threads={min: 1, max: 2}",
        "threads.max=3",
    )
    assert {path: (rule.request, rule.slow) for path, rule in site.paths.items()} == {
        "/a": (3, 2),
        "/b": (4, None),
    }
    assert site.threads == Elastic(min=1, max=3)


def test_variables_are_as_in_a_site_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x" * 20)
    settings = "admin.token=${file:token}", "admin.bind=127.0.0.1:${PORT:-9000}", "env.A=$${B}"
    site = site_of(*settings, folder=tmp_path)
    assert (site.admin.token, str(site.admin.bind[0])) == ("x" * 20, "127.0.0.1:9000")
    assert site.env["A"] == "${B}"


def test_relative_paths_are_those_of_the_shell(tmp_path: Path) -> None:
    assert site_of("log.access=access.log", folder=tmp_path).log.access == f"{tmp_path}/access.log"


def test_another_application_is_mounted_beside_the_target() -> None:
    assert site_of("apps./reports=reports:app").apps == {"/": "shop:app", "/reports": "reports:app"}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            "timeouts.reqest=5m",
            "--set timeouts.reqest=5m: unknown key 'timeouts.reqest': did you mean 'timeouts.request'?",
        ),
        ("timeout=5m", "--set timeout=5m: unknown key 'timeout': it is 'timeouts.request' here"),
        (
            "paths./x.reqest=1s",
            "--set paths./x.reqest=1s: unknown key 'paths /x.reqest': did you mean 'paths./x.request'?",
        ),
        (
            "timeouts={reqest: 1s}",
            "--set timeouts={reqest: 1s}: unknown key 'timeouts.reqest': did you mean 'timeouts.request'?",
        ),
        ("threads=0", "--set threads=0: threads: expected a whole number from 1 to 10000, "),
        ("paths={/x", "--set paths={/x: a bracket opened here and never closed"),
        ("app=other:app", "--set app=other:app: TARGET is an application, too: keep one of them"),
        (
            "env.COLOR=#fff",
            "--set env.COLOR=***: a value that begins with # is a comment in YAML: put quotes",
        ),
        (
            "bind=${NO}",
            "--set bind=${NO}: environment variable NO is not set: set it, or write ${NO:-default}",
        ),
        ("name=\udcff", "--set name=\udcff: its value is not UTF-8 text"),
        ("=5", "--set =5: unknown key ''"),
        ("name=" + "x" * 100, "--set name=" + "x" * 57 + "...: name: expected letters"),
    ],
)
def test_what_is_wrong_names_the_option(setting: str, said: str) -> None:
    assert refused(setting).startswith(said)


@pytest.mark.parametrize(
    "setting",
    [
        f"admin.token={SECRET}",
        f"admin.tokn={SECRET}",
        f"admin={{token: {SECRET}: x}}",
        f"admin={{tokn: {SECRET}}}",
        f"admin.token=*{SECRET}",
        f"env.DATABASE={{{SECRET}",
        f"env.A-B={SECRET}",
        f"enw.A={SECRET}",
    ],
)
def test_no_secret_is_in_a_message(setting: str) -> None:
    assert SECRET not in refused(setting)


def test_no_secret_is_shown() -> None:
    site = site_of(
        f"admin.token={SECRET * 3}",
        "admin.bind=127.0.0.1:9000",
        f"env={{A: {SECRET}}}",
        "rollout.before=deploy ${PASSWORD}",
        environ={"PASSWORD": SECRET},
    )
    found = {key.name: (key.text, key.source) for key in keys(site)}
    assert found["admin.token"] == (HIDDEN, "--set")
    assert found["admin.bind"] == ("127.0.0.1:9000", "--set")
    assert found["env.A"] == (HIDDEN, "--set")
    assert found["rollout.before"] == (HIDDEN, "--set, ${PASSWORD}")
    assert SECRET not in str(found)


def test_they_win_over_a_site_file(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("app: shop:app\nthreads: {min: 2, max: 9}\nworkers: 3\n")
    said = CommandLine(settings=[("threads.max", "5"), ("log.access", "x.log")], folder=Path("/elsewhere"))
    site = load(tmp_path / "site.yaml", {}, said)
    found = {key.name: key.source for key in keys(site)}
    assert (site.threads, site.workers, site.log.access) == (Elastic(min=2, max=5), 3, "/elsewhere/x.log")
    assert (found["workers"], found["log.access"]) == ("site.yaml:3", "--set")
