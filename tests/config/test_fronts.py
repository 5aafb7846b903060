"""The files for nginx, HAProxy and Kubernetes fit the site files that they go with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from superwsgi.config.loading import load
from tests.config.sites import loaded

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


def test_kubernetes_has_the_patience_that_its_site_asks_for(tmp_path: Path) -> None:
    config, deployment, service = yaml.safe_load_all((CONFIG / "kubernetes.yaml").read_text())
    site = loaded(tmp_path, config["data"]["site.yaml"])
    timeouts, pod = site.timeouts, deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (port,) = container["ports"]
    startup = container["startupProbe"]
    assert pod["terminationGracePeriodSeconds"] > timeouts.lame_duck + timeouts.graceful + 5
    assert startup["periodSeconds"] * startup["failureThreshold"] > timeouts.boot
    assert str(site.bind[0]) == f"0.0.0.0:{port['containerPort']}"
    readiness = container["readinessProbe"]
    assert readiness["periodSeconds"] * readiness["failureThreshold"] < timeouts.lame_duck
    assert readiness["httpGet"]["path"] == startup["httpGet"]["path"] == site.health.ready
    assert startup["httpGet"]["port"] == service["spec"]["ports"][0]["targetPort"] == port["name"]


@pytest.mark.parametrize(
    ("front", "site"), [("haproxy.cfg", "behind-haproxy"), ("haproxy-tcp.cfg", "behind-tcp")]
)
def test_haproxy_checks_readiness(front: str, site: str) -> None:
    asked = re.findall(r"httpchk GET (\S+)", (CONFIG / front).read_text())
    assert asked == [load(CONFIG / f"{site}.yaml", {}).health.ready]


def test_haproxy_notices_within_the_lame_duck_time() -> None:
    text = (CONFIG / "haproxy.cfg").read_text()
    (checks,) = re.findall(
        r"^ *default-server inter (\d+)s fastinter (\d+)ms fall (\d+) ", text, re.MULTILINE
    )
    (lame_duck,) = re.findall(r"# lame_duck: (\d+)s", (CONFIG / "behind-haproxy.yaml").read_text())
    inter, fastinter, fall = map(int, checks)
    assert inter + fastinter / 1000 * (fall - 1) < int(lame_duck)
