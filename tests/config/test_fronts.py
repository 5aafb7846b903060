"""The files for nginx and HAProxy fit the site files that they go with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from superwsgi.config.loading import load

CONFIG = Path(__file__).parents[2] / "config"


def numbers(name: str, *directives: str) -> list[int]:
    """What the file says of each directive: a number of seconds or megabytes."""
    text = (CONFIG / name).read_text()
    found = [re.findall(rf"^ *{directive} (\d+)[sm]\b", text, re.MULTILINE) for directive in directives]
    return [int(value) for (value,) in found]


def test_nginx_closes_idle_connections_first() -> None:
    timeouts = load(CONFIG / "behind-nginx.yaml", {}).timeouts
    (kept,) = numbers("nginx.conf", "keepalive_timeout")
    assert 2 * kept <= min(timeouts.linger, timeouts.keepalive)


def test_nginx_accepts_bodies_as_large_as_the_site_does() -> None:
    assert numbers("nginx.conf", "client_max_body_size") == [
        load(CONFIG / "behind-nginx.yaml", {}).limits.body >> 20
    ]


@pytest.mark.parametrize(
    ("front", "directive", "site"),
    [
        ("nginx.conf", "proxy_read_timeout", "behind-nginx"),
        ("haproxy.cfg", "timeout server", "behind-haproxy"),
        ("haproxy-tcp.cfg", "timeout server", "behind-tcp"),
        ("haproxy-tcp.cfg", "timeout client", "behind-tcp"),
        ("nginx-stream.conf", "proxy_timeout", "behind-tcp"),
    ],
)
def test_the_site_is_who_gives_up_first(front: str, directive: str, site: str) -> None:
    timeouts = load(CONFIG / f"{site}.yaml", {}).timeouts
    (patience,) = numbers(front, directive)
    assert patience > timeouts.queue + timeouts.request
    assert patience > timeouts.keepalive
