"""`admin:` who may reach it, by which token, as whom it runs; and that a token is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from superwsgi.config.errors import ConfigError
from superwsgi.config.listening import TcpAddress, UnixAddress
from superwsgi.config.loading import load
from superwsgi.config.sections import AdminSettings
from tests.config.sites import APP, loaded, problems

TOKEN = "0123456789abcdef"

EXPOSED = (
    "admin.bind can be reached by other machines, and there is no admin.token: "
    "set admin.token (openssl rand -hex 32 makes one), or bind it to 127.0.0.1 or a unix socket"
)
WEAK = (
    "admin.token must have at least 16 characters, all of them visible ASCII: openssl rand -hex 32 makes one"
)
SHARED = (
    "admin.bind needs an address of its own: "
    "the site is served at this one: name another port, or unix:run/admin.sock"
)
COVERED = "0.0.0.0 and another IPv4 address cannot share a port: name another port in admin.bind"
TLS = (
    "admin.bind speaks no TLS: "
    "leave out https://; from elsewhere it is reached by ssh -L, or through a proxy that speaks TLS"
)
USER = (
    "admin.user must be neither root nor the user of the site: "
    "who breaks into one is not to have the other: leave it out for nobody, or make a user for it"
)
NOWHERE = "admin has no effect without admin.bind: write, for example, bind: 127.0.0.1:9000"
HOST = "expected a host name or an address without a port, such as ops.example.com or 10.0.0.5"
CONTROL = "control and bind name the same socket: one serves the application, the other controls the site"


def test_it_is_off_by_default(tmp_path: Path) -> None:
    assert loaded(tmp_path, APP).admin == AdminSettings()


def test_all_keys(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    line = "admin: {bind: ['127.0.0.1:9000', {unix: a.sock, mode: 0660}], token: '${file:token}', hosts: x.y}"
    assert loaded(tmp_path, f"{APP}{line}").admin == AdminSettings(
        bind=(TcpAddress("127.0.0.1", 9000), UnixAddress(str(tmp_path / "a.sock"), 0o660)),
        token=TOKEN,
        hosts=("x.y",),
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("admin: {bind: ':9000'}", f"2:15: {EXPOSED}"),
        ("admin: {bind: '10.0.0.1:9000'}", f"2:15: {EXPOSED}"),
        ("admin: {bind: '[::]:9000'}", f"2:15: {EXPOSED}"),
        ("admin: {bind: 'shop.example.com:9000'}", f"2:15: {EXPOSED}"),
        ("admin: {bind: 'systemd:admin'}", f"2:15: {EXPOSED}"),
        ("admin: {bind: ['127.0.0.1:9000', '10.0.0.1:9000']}", f"2:15: {EXPOSED}"),
        ("admin: {bind: '127.0.0.1:9000', token: 0123456789abcde}", f"2:40: {WEAK}"),
        ("admin: {bind: '127.0.0.1:9000', token: '0123456789 abcdef'}", f"2:40: {WEAK}"),
        ("admin: {bind: '127.0.0.1:9000', token: 0123456789abcdeé}", f"2:40: {WEAK}"),
        ("admin: {bind: '127.0.0.1:9000', token: ''}", f"2:40: {WEAK}"),
        ("admin: {bind: '127.0.0.1:8000'}", f"2:15: {SHARED}"),
        ("bind: unix:x\nadmin: {bind: unix:x}", f"3:15: {SHARED}"),
        (f"bind: systemd\nadmin: {{bind: systemd:a, token: {TOKEN}}}", f"3:15: {SHARED}"),
        ("health: {live: /z, bind: ':1'}\nadmin: {bind: '127.0.0.1:1'}", f"3:15: {COVERED}"),
        (f"bind: '127.0.0.1:1'\nadmin: {{bind: ':1', token: {TOKEN}}}", f"3:15: {COVERED}"),
        ("admin: {bind: 'https://127.0.0.1:9000'}", f"2:15: {TLS}"),
        ("admin: {bind: '127.0.0.1:9000', user: root}", f"2:39: {USER}"),
        ("admin: {bind: '127.0.0.1:9000', user: 0}", f"2:39: {USER}"),
        ("user: www\nadmin: {bind: '127.0.0.1:9000', user: www}", f"3:39: {USER}"),
        (f"admin: {{token: {TOKEN}}}", f"2:16: {NOWHERE}"),
        ("admin: {hosts: x.y}", f"2:16: {NOWHERE}"),
        ("admin: {bind: unix:x, hosts: 'x.y:80'}", f"2:30: admin.hosts: {HOST}, got 'x.y:80'"),
        ("admin: {bind: unix:x, hosts: '*.x.y'}", f"2:30: admin.hosts: {HOST}, got '*.x.y'"),
        ("control: x\nadmin: {bind: unix:x}", f"2:10: {CONTROL}"),
    ],
)
def test_what_cannot_be(tmp_path: Path, line: str, said: str) -> None:
    assert problems(tmp_path, f"{APP}{line}") == [said]


@pytest.mark.parametrize(
    "line",
    [
        "admin: {bind: '127.8.8.8:9000'}",
        "admin: {bind: 'localhost:9000'}",
        "admin: {bind: '[::1]:9000'}",
        "admin: {bind: unix:x}",
        "admin: {bind: unix:x, hosts: [10.0.0.5, '[::2]', 'fd00::1', OPS]}",
        f"admin: {{bind: ':9000', token: {TOKEN}}}",
        "user: nobody\nadmin: {bind: '127.0.0.1:9000'}",  # whether that matters depends on who starts it
    ],
)
def test_what_can_be(tmp_path: Path, line: str) -> None:
    assert loaded(tmp_path, f"{APP}{line}").admin.bind


@pytest.mark.parametrize(
    "lines",
    [
        "admin: {bind: '127.0.0.1:9000', token: sesame}",
        "admin: {bind: nowhere, token: sesame}",
        "admin:\n  bind: 127.0.0.1:9000\n  token: [sesame]",
        "admin:\n  bind: 127.0.0.1:9000\n  token: {sesame: 1}",
        "admin: {bind: '127.0.0.1:9000', token: sesame",
    ],
)
def test_a_token_is_not_shown(tmp_path: Path, lines: str) -> None:
    (tmp_path / "site.yaml").write_text(f"{APP}{lines}\n")
    with pytest.raises(ConfigError) as raised:
        load(tmp_path / "site.yaml", {})
    assert "sesame" not in str(raised.value)
