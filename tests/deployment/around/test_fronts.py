"""What stands in front of a site is in step with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from superwsgi.config.errors import ConfigError
from superwsgi.deployment.around import fronts
from superwsgi.deployment.around.rotation import logrotate
from superwsgi.deployment.text.escaping import Unspeakable
from tests.config.sites import loaded
from tests.deployment.places import of_roots, place

TLS = "tls: {certificate: a.pem}"


def nginx(folder: Path, text: str) -> str:
    return fronts.nginx(loaded(folder, f"name: shop\napp: app:app\n{text}"), "site.yaml")


def haproxy(folder: Path, text: str) -> str:
    return fronts.haproxy(loaded(folder, f"name: shop\napp: app:app\n{text}"), "site.yaml")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 100),
        ("timeouts: {request: 5m}", 340),
        ("paths: {/a: {request: 10m}}", 640),
        ("timeouts: {keepalive: 1h}", 3610),
    ],
)
def test_the_site_gives_up_first(tmp_path: Path, text: str, seconds: int) -> None:
    assert f"proxy_read_timeout {seconds}s;" in nginx(tmp_path, text)
    assert f"timeout server {seconds}s\n" in haproxy(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", "100m"),
        ("limits: {body: 0}", "0"),
        ("paths: {/up: {body: 2G}}", "2048m"),
        ("limits: {body: 1000}", "1000"),
    ],
)
def test_bodies_may_be_as_large(tmp_path: Path, text: str, size: str) -> None:
    assert f"client_max_body_size {size};" in nginx(tmp_path, text)


def test_connections_are_not_kept_where_the_site_keeps_none(tmp_path: Path) -> None:
    text = nginx(tmp_path, "timeouts: {linger: 0s}")
    assert "keepalive" not in re.sub(r"(?m)^\s*#.*", "", text)
    assert "proxy_set_header Connection close;" in text


@pytest.mark.parametrize(
    ("bind", "server", "both"),
    [
        ("':8000'", "127.0.0.1:8000", ["127.0.0.1:8000"] * 2),
        ("'[::1]:8000'", "[::1]:8000", ["[::1]:8000"] * 2),
        ("[127.0.0.1:80, unix:/run/a.sock]", "unix@/run/a.sock", ["unix:/run/a.sock", "unix:/run/./a.sock"]),
        ("[https://:443, 127.0.0.1:80]", "127.0.0.1:80", ["127.0.0.1:80"] * 2),
    ],
)
def test_where_it_connects_to(tmp_path: Path, bind: str, server: str, both: list[str]) -> None:
    text = f"bind: {bind}\n{TLS if 'https' in bind else ''}"
    assert re.findall(r"^    server (\S+) max_fails", nginx(tmp_path, text), re.MULTILINE) == both
    assert f"\n    server shop {server} check\n" in haproxy(tmp_path, text)


@pytest.mark.parametrize("text", ["bind: systemd", f"bind: https://:443\n{TLS}", "proxy: {protocol: on}"])
def test_where_no_proxy_can_connect(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"bind|proxy\.protocol"):
        nginx(tmp_path, text)


def test_a_check_of_readiness_where_there_is_one(tmp_path: Path) -> None:
    assert "option httpchk GET /ready\n" in haproxy(tmp_path, "health: {ready: /ready}")
    assert "option httpchk" not in haproxy(tmp_path, "")


def test_fields_that_only_the_proxy_may_set_are_taken_from_clients(tmp_path: Path) -> None:
    text = "proxy: {trusted: [127.0.0.1], fields: [OIDC_CLAIM_*, X-User, X-SSL_*]}"
    removed = re.findall(
        r"^    http-request del-header ((?:oidc|x-user|x-ssl).*)$", haproxy(tmp_path, text), re.M
    )
    assert removed == ["oidc_claim_ -m beg", "x-user", "x-ssl_ -m beg"]
    front = nginx(tmp_path, text)
    assert "\n    underscores_in_headers off;\n" in front
    assert '\n        proxy_set_header X-User "";\n' in front
    assert "\n        proxy_set_header OIDC" not in front
    assert "underscores" not in nginx(tmp_path, "proxy: {fields: [X-User]}")
    with pytest.raises(ConfigError, match=r"proxy\.fields: X-SSL-\*"):
        nginx(tmp_path, "proxy: {fields: ['X-SSL-*']}")


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("", None),
        ("bind: unix:a.sock", "proxy: {trusted: [unix]}"),
        ("bind: unix:a.sock\nproxy: {trusted: [unix]}", None),
        ("proxy: {trusted: [10.0.0.0/8]}", "proxy: {trusted: [127.0.0.1/32]}"),
    ],
)
def test_whom_the_site_has_to_trust(tmp_path: Path, text: str, missing: str | None) -> None:
    assert fronts.untrusted(loaded(tmp_path, f"app: app:app\n{text}")) == missing


def test_a_path_that_nginx_cannot_spell(tmp_path: Path) -> None:
    with pytest.raises(Unspeakable):
        nginx(tmp_path, "bind: unix:/run/a$b.sock")
    assert 'server "unix:/run/a b.sock"' in nginx(tmp_path, "bind: unix:/run/a b.sock")


def test_logs_are_rotated_as_their_user(tmp_path: Path) -> None:
    text = "log: {access: /srv/log/a*.log, error: /srv/log/error.log}"
    rotation = logrotate(place(tmp_path, text), "visitor")
    assert '"/srv/log/a\\*.log"\n"/srv/log/error.log"\n{' in rotation
    assert "    su visitor visitor\n" in rotation
    command = "/home/visitor/shop/.venv/bin/superwsgi logs -c /home/visitor/shop/site.yaml"
    assert f"        runuser -u visitor -- {command} >" in rotation, "root runs nothing of a user's"
    assert "runuser" not in logrotate(place(tmp_path, f"user: visitor\n{text}"), "visitor")
    assert "    su " not in logrotate(of_roots(tmp_path, text), None)


def test_no_rotation_without_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no log files"):
        logrotate(place(tmp_path, "log: {access: 'off'}"), None)
