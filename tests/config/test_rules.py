"""Combinations that cannot hold, and those that only look like it."""

from __future__ import annotations

from pathlib import Path

import pytest

from superwsgi.config.loading import load
from superwsgi.config.rules import RULES
from superwsgi.config.surprises import surprises
from superwsgi.config.text.reader import SITE, key_paths
from tests.config.sites import APP, loaded, problems

MEMORY = (
    "memory.soft must be below memory.hard: a worker is recycled at soft, before it has to be killed at hard"
)
LINE = "limits.line must not be above limits.head: the request line is part of the head"
JITTER = (
    "requests.jitter has no effect while requests.max is 0: set requests.max, or leave jitter out;"
    " for requests.age it is a share such as 20%"
)
EITHER = "an address speaks either TLS or plain HTTP: leave out one of them"
NO_CERTIFICATE = (
    "https:// needs a certificate: name its file in tls.certificate (on a command line: --certificate)"
)
NO_ADDRESS = (
    "tls.certificate has no effect: no address in bind begins with https://: "
    "write, for example, bind: https://0.0.0.0:443"
)
NO_FIRST = (
    "tls has no effect without tls.certificate: "
    "it is the certificate for clients that ask for no name or an unknown one"
)
NO_AUTHORITY = (
    "tls.client has no effect without tls.client_ca: "
    "name the file of the authorities that sign your clients' certificates"
)
NEVER_CALLED = (
    "hooks.before_fork is never called with preload: false: "
    "no process imports the application for others then; use after_fork, called in every worker"
)
WILDCARD = "0.0.0.0 and another IPv4 address cannot share a port: 0.0.0.0 includes the other: leave that out"
DEAF_UNIX = (
    "proxy.protocol is on, and no peer of a unix socket is trusted: "
    "every connection to it would be closed: add unix to proxy.trusted"
)
DEAF_TCP = (
    "proxy.protocol is on, and no network is trusted: "
    "every connection would be closed: add the proxy's address to proxy.trusted"
)
SAME_PATHS = "health.live and health.ready must differ: while the site stops one says 200 and the other 503"
NO_PATHS = (
    "health.bind has no effect without health.live or health.ready: "
    "name at least one path, such as ready: /readyz"
)
SHARED = (
    "health.bind and bind name the same address: on those of bind the paths are answered anyway: "
    "leave it out of health.bind, or name another port"
)
CONTROL = "control and bind name the same socket: one serves the application, the other controls the site"

NO_ERROR_LOG = (
    "log.capture needs the error log, which is off: "
    "what the application prints goes there: set log.error to - or a file, or leave capture out"
)
NO_ACCESS_LOG = (
    "log.skip and log.sample have no effect while log.access is off: they say what the access log leaves out"
)
SKIPPED = (
    "log.skip and log.sample name the same path: skip logs no request there, sample a share of them: "
    "keep one (a share alone is that of /)"
)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("log: {skip: /z, access: off}", f"2:13: {NO_ACCESS_LOG}"),
        ("log: {access: off, sample: 10%}", f"2:28: {NO_ACCESS_LOG}"),
        ("log: {skip: [/z, /], sample: 10%}", f"2:30: {SKIPPED}"),
        ("log: {sample: {/a/: 10%}, skip: /a}", f"2:15: {SKIPPED}"),
        ("log: {error: off, capture: on}", f"2:28: {NO_ERROR_LOG}"),
        ("log: {capture: on, error: off}", f"2:16: {NO_ERROR_LOG}"),
        ("health: {live: /z, ready: /z}", f"2:27: {SAME_PATHS}"),
        ("health: {bind: ':81'}", f"2:16: {NO_PATHS}"),
        ("health: {live: /z, bind: '127.0.0.1:8000'}", f"2:26: {SHARED}"),
        ("bind: unix:x\nhealth: {live: /z, bind: unix:x}", f"3:26: {SHARED}"),
        ("bind: ':80'\nhealth: {live: /z, bind: '127.0.0.1:80'}", f"3:26: {WILDCARD}"),
        ("health: {live: /z, bind: [':1', 'https://:1']}\ntls: {certificate: x}", f"2:26: {EITHER}"),
        ("health: {live: /z, bind: 'https://:1'}", f"2:26: {NO_CERTIFICATE}"),
        ("health: {live: /z, bind: unix:/x}\ncontrol: /x", f"3:10: {CONTROL}"),
        ("preload: false\nhooks: {before_fork: a:b}", f"3:22: {NEVER_CALLED}"),
        ("memory: {soft: 2G, hard: 1G}", f"2:26: {MEMORY}"),
        ("memory: {hard: 1G, soft: 1G}", f"2:16: {MEMORY}"),
        ("memory: {soft: 50%, hard: 40%}", f"2:27: {MEMORY}"),
        ("requests: {jitter: 5}", f"2:20: {JITTER}"),
        ("requests: {jitter: 5, max: 0}", f"2:20: {JITTER}"),
        ("requests: {jitter: 20%}", f"2:20: {JITTER}"),
        ("requests: {age: 12h, jitter: 5}", f"2:30: {JITTER}"),
        ("limits: {line: 65K}", f"2:16: {LINE}"),
        ("limits: {head: 4K}", f"2:16: {LINE}"),
        ("bind: [':80', '127.0.0.1:80']", f"2:7: {WILDCARD}"),
        ("proxy: {protocol: on}\nbind: [':80', unix:x]", f"2:19: {DEAF_UNIX}"),
        ("proxy: {protocol: on, trusted: [unix]}", f"2:19: {DEAF_TCP}"),
        ("proxy: {protocol: on, trusted: []}", f"2:19: {DEAF_TCP}"),
        ("bind: [':80', 'https://:80']\ntls: {certificate: x}", f"2:7: {EITHER}"),
        ("bind: https://:443", f"2:7: {NO_CERTIFICATE}"),
        ("tls: {certificate: x}", f"2:20: {NO_ADDRESS}"),
        ("tls: {key: x, client_ca: y}", f"2:26: {NO_FIRST}"),
        ("tls: {sni: [{certificate: x}]}", f"2:12: {NO_FIRST}"),
        ("bind: https://:443\ntls: {certificate: x, client: required}", f"3:31: {NO_AUTHORITY}"),
    ],
)
def test_broken(tmp_path: Path, line: str, said: str) -> None:
    assert problems(tmp_path, f"{APP}{line}\n") == [said]


@pytest.mark.parametrize(
    "line",
    [
        "log: {capture: on, style: json}",
        "log: {error: off, style: json}",
        "memory: {soft: 90%, hard: 1M}",
        "memory: {soft: 1G}",
        "memory: {hard: 1G}",
        "requests: {max: 5, jitter: 50}",
        "requests: {jitter: 0}",
        "requests: {age: 12h}",
        "requests: {age: 12h, jitter: 20%}",
        "requests: {max: 5, jitter: 100%}",
        "limits: {line: 8K, head: 8K}",
        "limits: {body: 1K, body_memory: 1M}",
        "group: www-data",
        "bind: [':80', '127.0.0.1:81', '[::1]:80', 'localhost:80']",
        "bind: ['127.0.0.1:80', '127.0.0.2:80']",
        "proxy: {protocol: on}",
        "proxy: {protocol: on, trusted: [unix]}\nbind: unix:x",
        "proxy: {protocol: on, trusted: [unix, '::1']}\nbind: [unix:x, ':80']",
        "proxy: {trusted: []}\nbind: [unix:x, ':80']",
        "bind: ['127.0.0.1:0', 'https://127.0.0.1:0']\ntls: {certificate: x}",
        "bind: https://:443\ntls: {certificate: x, client_ca: y, client: optional, minimum: 1.3}",
        "tls: {minimum: 1.3}",
        "health: {live: /z}",
        "health: {ready: /z, bind: [unix:x, ':81']}\nproxy: {protocol: on}",
        "bind: 127.0.0.1:0\nhealth: {ready: /z, bind: 127.0.0.1:0}",
        "health: {ready: /z, bind: https://:81}\ntls: {certificate: x}",
    ],
)
def test_possible(tmp_path: Path, line: str) -> None:
    loaded(tmp_path, f"{APP}{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "requests: {max: x, jitter: 5}",
        "memory: {soft: 2G, hard: 1X}",
        "limits: {head: 4K, line: x}",
        "bind: [':80', x]",
        "health: {live: x, bind: ':81'}",
        "health: {live: /z, ready: z}",
    ],
)
def test_a_value_that_was_refused_breaks_no_rule_by_its_default(tmp_path: Path, line: str) -> None:
    assert len(problems(tmp_path, f"{APP}{line}\n")) == 1


def test_the_keys_of_the_rules_exist() -> None:
    assert {key for rule in RULES for key in rule.keys} <= set(key_paths(SITE))


@pytest.mark.parametrize(
    ("mounts", "surprising"),
    [
        (["/", "/z/below", "/y", "z.example"], []),
        (["/", "/z/"], ["/z: health.live"]),
        (["z.example/z", "/r", "/"], ["z.example/z: health.live", "/r: health.ready"]),
    ],
)
def test_an_application_where_health_is_asked_for(
    tmp_path: Path, mounts: list[str], surprising: list[str]
) -> None:
    apps = "".join(f"  {mount}: a:b\n" for mount in mounts)
    site = loaded(tmp_path, f"apps:\n{apps}health: {{live: /z, ready: /r/}}\n")
    then = "answers this path on every host, the application only those below it"
    assert surprises(site) == [f"apps: {each} {then}" for each in surprising]


@pytest.mark.parametrize(
    ("limits", "surprising"),
    [
        ("limits: {queue_age: 2s}", True),
        ("limits: {queue_age: 500ms}", False),
        ("limits: {queue_age: off}", False),
        ("limits: {queue: 9}", False),
    ],
)
def test_a_queue_age_that_nobody_reaches(tmp_path, limits, surprising):
    file = tmp_path / "site.yaml"
    file.write_text(f"{APP}timeouts: {{queue: 2s}}\n{limits}\n")
    said = "limits.queue_age: no request waits for 2s, since it is refused after 2s (timeouts.queue)"
    assert surprises(load(file, {})) == [f"{said}: nothing is shed"] * surprising


@pytest.mark.parametrize("folder", [".", "./", "..", "../", "/"])
def test_static_does_not_show_the_applications_code(tmp_path, folder):
    (problem,) = problems(tmp_path, f"{APP}static: {{/static: {folder}}}\n")
    assert "static /static would show clients the application's code" in problem


def test_static_may_be_below_or_beside_the_code(tmp_path):
    site = loaded(tmp_path, f"{APP}static: {{/: ./public, /b: ../media, x.example.com/c: /srv/c}}\n")
    assert list(site.static) == ["/", "/b", "x.example.com/c"]
