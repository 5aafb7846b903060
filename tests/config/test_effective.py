"""A site back to keys: every value as a site file has it, where it was written, and no secret."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from superwsgi.config.loading import from_options, load
from superwsgi.config.schema import Site
from superwsgi.config.shown.effective import HIDDEN, changes, keys
from tests.config.sites import APP, EVERYTHING, values

SECRET = "hunter2"


def site_of(folder: Path, text: str, **environ: str) -> Site:
    (folder / "site.yaml").write_text(text)
    return load(folder / "site.yaml", environ)


def shown(site: Site) -> dict[str, tuple[str, str]]:
    return {key.name: (key.text, key.source) for key in keys(site)}


def test_what_is_shown_loads_to_the_same_site(tmp_path: Path) -> None:
    """Of flat keys a site file is made again."""
    assert_same(tmp_path, EVERYTHING.replace("env: {DJANGO_SETTINGS_MODULE: shop.settings}\n", ""))


@pytest.mark.parametrize(
    "line",
    [
        "log: {sample: 2.5%}",
        "log: {sample: {/api: 10%, /feed: 0.1%, '/a,b': 0.5}, skip: [/healthz, /static]}",
        "requests: {age: 1h, max: 10, jitter: 20%}",
        "admin: {bind: [127.0.0.1:9000, {unix: run/admin.sock, mode: 0660}], hosts: [ops.example.com]}",
    ],
)
def test_keys_of_several_kinds_load_to_the_same_site(tmp_path: Path, line: str) -> None:
    assert_same(tmp_path, f"{APP}{line}\n")


def assert_same(folder: Path, text: str) -> None:
    site = site_of(folder, text)
    again = "\n".join(_nested(shown(site)))
    assert values(site_of(folder, again)) == values(site)


def _nested(found: dict[str, tuple[str, str]]) -> list[str]:
    lines: list[str] = []
    above = ""
    for name, (text, _) in found.items():
        section, dot, key = name.partition(".")
        if not dot:
            lines.append(f"{name}: {text}")
        else:
            lines += [f"{section}:"] if section != above else []
            lines.append(f'  "{key}": {text}')
        above = section if dot else ""
    return lines


def test_where_values_are_from(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"# secrets\nKEY={SECRET}\nPORT=81\n")
    text = "app: shop:app\nbind: 127.0.0.1:${WEB}\nenv_file: .env\nthreads: {min: 2, max: 9}\n"
    found = shown(
        site_of(
            tmp_path,
            f"{text}timeouts:\n  boot: 90s\nenv:\n  A: b\nlog: {{access: '${{PORT}}.log'}}\n",
            WEB="80",
        )
    )
    assert found["app"] == ("shop:app", "site.yaml:1")
    assert found["bind"] == ("127.0.0.1:80", "site.yaml:2, ${WEB}")
    assert found["threads"] == ("{min: 2, max: 9, idle: 30s}", "site.yaml:4")
    assert found["timeouts.boot"] == ("90s", "site.yaml:6")
    assert found["timeouts.head"] == ("10s", "default")
    assert found["env.KEY"] == (HIDDEN, ".env:2")
    assert found["env.A"] == (HIDDEN, "site.yaml:8")
    assert found["log.access"] == (HIDDEN, "site.yaml:9, ${PORT} of .env:3")


@pytest.mark.parametrize(
    "line",
    [
        f"env: {{PASSWORD: {SECRET}}}",
        "env: {PASSWORD: '${SECRET}'}",
        "rollout: {before: 'deploy --token ${SECRET}'}",
        "rollout: {before: 'deploy --token ${MISSING:-hunter2}'}",
        "warmup: ['/?token=${SECRET}']",
        "log: {format: '{method} ${SECRET}'}",
        "pidfile: '${file:secret.txt}'",
        "pidfile: '${file:${DIR}secret.txt}'",
        "pidfile: '${file:none.txt:-hunter2}'",
        "pidfile: &x '${FROM_FILE}'\nlog: {access: *x}",
    ],
)
def test_no_secret_is_shown(tmp_path: Path, line: str) -> None:
    (tmp_path / "secret.txt").write_text(SECRET)
    (tmp_path / ".env").write_text(f"FROM_FILE={SECRET}\n")
    site = site_of(tmp_path, f"{APP}env_file: .env\n{line}\n", SECRET=SECRET, DIR="./")
    assert SECRET in str(site)
    assert SECRET not in str(shown(site))
    assert SECRET not in str(msgspec.json.encode(site.sources))
    assert SECRET not in str([key.text for key in changes(site_of(tmp_path, f"{APP}env_file: .env\n"), site)])


def test_of_the_command_line(tmp_path: Path) -> None:
    site = from_options("shop:app", chdir=str(tmp_path), bind=["https://:1"], certificate="x", threads=3)
    found = shown(site)
    assert found["app"] == ("shop:app", "TARGET")
    assert found["bind"][1] == "--bind"
    assert found["tls.certificate"] == (f"{tmp_path}/x", "--certificate")
    assert found["threads"] == ("3", "--threads")
    assert found["chdir"] == (str(tmp_path), "--chdir")
    assert found["workers"] == ("auto", "default")
    assert shown(from_options("__main__:app", chdir=".", prefix=""))["app"][1] == "superwsgi.run()"


def test_of_a_site_that_an_earlier_version_has_loaded(tmp_path: Path) -> None:
    """It has not noted where anything is from, so what may be a secret is not shown either."""
    site = values(
        site_of(tmp_path, f"{APP}workers: 3\nrollout: {{before: 'x ${{SECRET}}'}}\n", SECRET=SECRET)
    )
    found = shown(site)
    assert found["workers"] == ("3", "not known")
    assert found["queue"] == ("fair", "default")
    assert found["rollout.before"] == (HIDDEN, "not known")


def test_changes(tmp_path: Path) -> None:
    before = site_of(tmp_path, f"{APP}env: {{A: b, B: c}}\nworkers: 2\n")
    after = site_of(tmp_path, f"{APP}\n\nenv: {{A: x}}\nworkers: 3\n")
    found = [(key.name, key.text, key.source) for key in changes(before, after)]
    assert found == [
        ("workers", "3", "site.yaml:5"),
        ("env.A", HIDDEN, "site.yaml:4"),
        ("env.B", "", "not set any more"),
    ]
    assert changes(after, after) == []
