"""Impossible combinations: settings that are valid alone but not together.

A table, one line a rule. Not here, since they are possible: `limits.body_memory` above `limits.body` (bodies
never reach a temporary file), `group` without `user` (the master's user with another group), `memory.soft`
as a size with `memory.hard` as a share (which is larger depends on the machine).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from superwsgi.config.listening import TcpAddress, UnixAddress, speaks_tls
from superwsgi.config.schema import Elastic, Memory, Site, TlsSettings


class Rule(NamedTuple):
    """Broken, it is reported at the last of `keys` that the site file has."""

    keys: tuple[str, ...]
    broken: Callable[[Site], bool]
    message: str
    hint: str


def broken_rules(site: Site, read: set[str], failed: set[str]) -> list[tuple[str, Rule]]:
    """(key, rule) for each rule that `site` breaks. A key in `failed` has its default: it proves nothing."""
    return [
        (next(key for key in reversed(rule.keys) if key in read), rule)
        for rule in RULES
        if failed.isdisjoint(rule.keys) and rule.broken(site)
    ]


def _soft_is_not_below_hard(memory: Memory) -> bool:
    if memory.soft is None or memory.hard is None or type(memory.soft) is not type(memory.hard):
        return False
    return memory.soft >= memory.hard


def _covered_by_wildcard(site: Site) -> bool:
    """bind(2) refuses 127.0.0.1:8000 beside 0.0.0.0:8000."""
    tcp = [address for address in site.bind if isinstance(address, TcpAddress) and address.port]
    wild = {address.port for address in tcp if address.host == "0.0.0.0"}
    return any(_is_ipv4(address.host) and address.port in wild for address in tcp)


def _plain_and_tls(site: Site) -> bool:
    tcp = [address for address in site.bind if isinstance(address, TcpAddress) and address.port]
    return len({(address.host, address.port) for address in tcp}) < len(tcp)


def _control_is_bound(site: Site) -> bool:
    return any(isinstance(address, UnixAddress) and address.path == site.control for address in site.bind)


def _is_ipv4(host: str) -> bool:
    return host != "0.0.0.0" and host.replace(".", "").isdigit()


def _deaf(site: Site, kind: type[TcpAddress] | type[UnixAddress]) -> bool:
    """Whether no peer that can connect to addresses of this kind is trusted."""
    believed = any((name == "unix") is (kind is UnixAddress) for name in site.proxy.trusted)
    return site.proxy.protocol and not believed and any(isinstance(address, kind) for address in site.bind)


RULES: Final = (
    Rule(
        ("memory.soft", "memory.hard"),
        lambda site: _soft_is_not_below_hard(site.memory),
        "memory.soft must be below memory.hard",
        "a worker is recycled at soft, before it has to be killed at hard",
    ),
    Rule(
        ("threads.min", "threads.max"),
        lambda site: isinstance(site.threads, Elastic) and site.threads.min > site.threads.max,
        "threads.min must not be above threads.max",
        "for a fixed number write it alone: threads: 8",
    ),
    Rule(
        ("requests.max", "requests.jitter"),
        lambda site: bool(site.requests.jitter) and not site.requests.max,
        "requests.jitter has no effect while requests.max is 0",
        "set requests.max, or leave jitter out",
    ),
    Rule(
        ("limits.line", "limits.head"),
        lambda site: site.limits.line > site.limits.head,
        "limits.line must not be above limits.head",
        "the request line is part of the head",
    ),
    Rule(
        ("preload", "hooks.before_fork"),
        lambda site: site.preload is False and site.hooks.before_fork is not None,
        "hooks.before_fork is never called with preload: false",
        "no process imports the application for others then; use after_fork, called in every worker",
    ),
    Rule(
        ("rollout.overlap", "rollout.batch"),
        lambda site: site.rollout.batch != 1 and not site.rollout.overlap,
        "rollout.batch has no effect with rollout.overlap: no",
        "all old workers end before the first new one starts: leave batch out",
    ),
    Rule(
        ("bind",),
        _covered_by_wildcard,
        "0.0.0.0 and another IPv4 address cannot share a port",
        "0.0.0.0 includes the other: leave that out",
    ),
    Rule(
        ("bind", "proxy.trusted", "proxy.protocol"),
        lambda site: _deaf(site, UnixAddress),
        "proxy.protocol is on, and no peer of a unix socket is trusted",
        "every connection to it would be closed: add unix to proxy.trusted",
    ),
    Rule(
        ("bind", "proxy.trusted", "proxy.protocol"),
        lambda site: _deaf(site, TcpAddress),
        "proxy.protocol is on, and no network is trusted",
        "every connection would be closed: add the proxy's address to proxy.trusted",
    ),
    Rule(
        ("bind",),
        _plain_and_tls,
        "an address speaks either TLS or plain HTTP",
        "leave out one of them",
    ),
    Rule(
        ("bind", "tls.certificate"),
        lambda site: site.tls.certificate is None and any(map(speaks_tls, site.bind)),
        "https:// needs a certificate",
        "name its file in tls.certificate (on a command line: --certificate)",
    ),
    Rule(
        ("bind", "tls.certificate"),
        lambda site: site.tls.certificate is not None and not any(map(speaks_tls, site.bind)),
        "tls.certificate has no effect: no address in bind begins with https://",
        "write, for example, bind: https://0.0.0.0:443",
    ),
    Rule(
        ("tls.key", "tls.sni", "tls.client_ca", "tls.certificate"),
        lambda site: site.tls.certificate is None and site.tls != TlsSettings(minimum=site.tls.minimum),
        "tls has no effect without tls.certificate",
        "it is the certificate for clients that ask for no name or an unknown one",
    ),
    Rule(
        ("tls.client_ca", "tls.client"),
        lambda site: site.tls.client is not None and site.tls.client_ca is None,
        "tls.client has no effect without tls.client_ca",
        "name the file of the authorities that sign your clients' certificates",
    ),
    Rule(
        ("log.error", "log.capture"),
        lambda site: site.log.capture and site.log.error == "off",
        "log.capture needs the error log, which is off",
        "what the application prints goes there: set log.error to - or a file, or leave capture out",
    ),
    Rule(
        ("bind", "control"),
        _control_is_bound,
        "control and bind name the same socket",
        "one serves the application, the other controls the site",
    ),
)
