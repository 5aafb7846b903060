"""`superwsgi unit` as an operator types it; real units are in tests/e2e/test_booted.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from superwsgi.cli.main import main
from superwsgi.cli.site.unit import sockets
from superwsgi.config.errors import ConfigError
from tests.config.sites import loaded


def unit(folder: Path, text: str, *options: str) -> Result:
    file = folder / "site.yaml"
    file.write_text(f"name: shop\napp: app:app\n{text}")
    return CliRunner().invoke(main, ["unit", "-c", str(file), *options])


def test_it_prints_what_it_would_install(tmp_path: Path) -> None:
    done = unit(tmp_path, "bind: systemd")
    assert done.exit_code == 0, done.output
    assert "# /etc/systemd/system/superwsgi-shop.service\n" in done.output
    assert "# /etc/systemd/system/superwsgi-shop.socket\n" in done.output
    assert f" unit -c {tmp_path}/site.yaml --install\n" in done.output


def test_the_site_file_is_that_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    without = CliRunner().invoke(main, ["unit"])
    assert without.exit_code == 2
    assert "superwsgi init" in without.output
    (tmp_path / "superwsgi.yaml").write_text("app: app:app\n")
    assert CliRunner().invoke(main, ["unit"]).exit_code == 0
    assert CliRunner().invoke(main, ["unit", "superwsgi.yaml"]).exit_code == 0


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("", ["--user", "no-such-user"], "user 'no-such-user' does not exist on this machine"),
        ("user: root", ["--user", "nobody"], "only root can become another user"),
        ("", ["--listen", "80"], "--listen 80: the site file binds no such socket"),
        ("", ["--now"], "--now starts what --install has put in its place"),
        ("bind: fd://3", [], "write bind: systemd"),
        ("chdir: missing", [], "No such file or directory"),
        ("workers: many", [], "workers"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path: Path, text: str, options: list[str], said: str) -> None:
    done = unit(tmp_path, text, *options)
    assert done.exit_code == 2
    assert said in done.output


def test_what_the_user_cannot_reach_is_said(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make folders that others may not enter for them")
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    done = unit(folder, "log: {access: /var/log/access.log}", "--user", "nobody")
    assert f"warning: nobody cannot enter {Path('/', *tmp_path.parts[1:3])}" in done.output
    assert (
        "log.access: nobody cannot write to /var/log: name a folder below /run/superwsgi/shop" in done.output
    )


def test_what_bars_several_ways_is_said_once(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make folders that others may not enter for them")
    (tmp_path / "code").mkdir()
    done = unit(tmp_path, "chdir: code", "--user", "nobody")
    assert done.output.count("nobody cannot enter ") == 1  # pytest's own folders, whichever is the first
    assert f", which is on the way to {tmp_path}/code and {tmp_path}: " in done.output


def test_a_key_that_the_user_cannot_read_is_said(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make files that others may not read for them")
    key = tmp_path / "key.pem"
    key.touch(mode=0o600)
    done = unit(tmp_path, f"bind: https://:8443\ntls: {{certificate: {key}}}", "--user", "nobody")
    assert f"warning: tls.certificate: nobody cannot read {key}: let it (setfacl" in done.output


def test_root_is_never_chosen(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("the project has to be root's")
    assert "DynamicUser=yes" in unit(tmp_path, "").output
    assert "User=root" in unit(tmp_path, "", "--user", "root").output


def test_variables_that_the_service_will_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", "x")
    done = unit(tmp_path, "env: {KEY: '${SHOP_KEY}', OTHER: '${SHOP_OTHER:-y}'}")
    assert "SHOP_KEY from the environment: write NAME=value into /etc/default/superwsgi-shop" in done.output


NAMED = "bind: ['systemd:web', 'https://systemd:tls']\ntls: {certificate: a.pem}"


@pytest.mark.parametrize(
    ("text", "given", "result"),
    [
        ("", [], {}),
        ("bind: systemd", [], {"": "80"}),
        ("bind: systemd", ["/run/shop.sock"], {"": "/run/shop.sock"}),
        ("bind: systemd", ["systemd=8080"], {"": "8080"}),
        ("bind: https://systemd\ntls: {certificate: a.pem}", [], {"": "443"}),
        ("bind: systemd:web", ["8080"], {"web": "8080"}),
        (NAMED, ["web=80", "tls=443"], {"web": "80", "tls": "443"}),
    ],
)
def test_what_sockets_listen_on(tmp_path: Path, text: str, given: list[str], result: dict[str, str]) -> None:
    assert sockets(loaded(tmp_path, f"app: app:app\n{text}"), given) == result


@pytest.mark.parametrize(
    ("given", "said"), [(["web=80"], "--listen tls=ADDRESS"), (["mail=25"], "no such socket")]
)
def test_of_several_sockets_each_needs_its_address(tmp_path: Path, given: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        sockets(loaded(tmp_path, f"app: app:app\n{NAMED}"), given)
