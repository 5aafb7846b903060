"""Impossible combinations: settings that are valid alone but not together.

A table, one line a rule. Not here, since they are possible: `limits.body_memory` above `limits.body` (bodies
never reach a temporary file), `group` without `user` (the master's user with another group), `memory.soft`
as a size with `memory.hard` as a share (which is larger depends on the machine).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final, NamedTuple

from superwsgi.config.grammar.proxies import same_fields
from superwsgi.config.listening import Address, InheritedAddress, TcpAddress, UnixAddress, speaks_tls
from superwsgi.config.parts.companions import CompanionSettings
from superwsgi.config.parts.paths import PathRule
from superwsgi.config.schema import Site
from superwsgi.config.sections import (
    AdminSettings,
    Elastic,
    ElasticWorkers,
    Memory,
    Requests,
    TlsSettings,
)

SHORTEST_TOKEN: Final = 16
"""Characters of admin.token: fewer can be guessed."""

_TOKEN: Final = re.compile(r"[!-~]*")
"""What every client can send in a field."""

_LOOPBACK: Final = re.compile(r"127\.[0-9.]+")


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
        for rule in (*RULES, *_of_paths(site), *_of_companions(site), *_of_static(site))
        if failed.isdisjoint(rule.keys) and rule.broken(site)
    ]


def _soft_is_not_below_hard(memory: Memory) -> bool:
    if memory.soft is None or memory.hard is None or type(memory.soft) is not type(memory.hard):
        return False
    return memory.soft >= memory.hard


def _least_workers_above_most(site: Site) -> bool:
    least, most = site.worker_bounds
    return isinstance(least, int) and isinstance(most, int) and least > most


def _jitter_is_in_vain(requests: Requests) -> bool:
    by_age = bool(requests.age) and isinstance(requests.jitter, float)
    return bool(requests.jitter) and not requests.max and not by_age


def _with_ports(addresses: Iterable[Address]) -> list[TcpAddress]:
    return [address for address in addresses if isinstance(address, TcpAddress) and address.port]


def _covered_by_wildcard(site: Site) -> bool:
    """bind(2) refuses 127.0.0.1:8000 beside 0.0.0.0:8000."""
    tcp = _with_ports(site.addresses)
    wild = {address.port for address in tcp if address.host == "0.0.0.0"}
    return any(_is_ipv4(address.host) and address.port in wild for address in tcp)


def _plain_and_tls(site: Site) -> bool:
    both = (_with_ports(site.bind), _with_ports(site.health.bind))
    return any(len({(address.host, address.port) for address in tcp}) < len(tcp) for tcp in both)


def _control_is_bound(site: Site) -> bool:
    paths = [
        address.path for address in (*site.addresses, *site.admin.bind) if isinstance(address, UnixAddress)
    ]
    return site.control in paths


def _shared_with_health(site: Site) -> bool:
    """Whether an address is to serve the application, and also nothing but health checks."""
    served, checked = ({_place(address) for address in each} for each in (site.bind, site.health.bind))
    return not served.isdisjoint(checked)


def _place(address: Address) -> str:
    """Without the protocol that it speaks; an address with port 0 is one of its own."""
    if isinstance(address, TcpAddress) and not address.port:
        return str(id(address))
    return str(address).removeprefix("https://")


def _shared_with_admin(site: Site) -> bool:
    """Whether an address of admin.bind is another one's, too; `systemd` alone is every socket of systemd."""
    ours, theirs = ({_place(address) for address in each} for each in (site.admin.bind, site.addresses))
    given = any(isinstance(address, InheritedAddress) for address in site.admin.bind)
    return not ours.isdisjoint(theirs) or (given and "systemd" in theirs)


def _admin_is_covered(site: Site) -> bool:
    """As _covered_by_wildcard, with one of the two in admin.bind."""
    ours, theirs = _with_ports(site.admin.bind), _with_ports(site.addresses)
    return _one_covers(ours, theirs) or _one_covers(theirs, ours) or _one_covers(ours, ours)


def _one_covers(some: Iterable[TcpAddress], others: Iterable[TcpAddress]) -> bool:
    wild = {address.port for address in some if address.host == "0.0.0.0"}
    return any(_is_ipv4(address.host) and address.port in wild for address in others)


def _is_exposed(address: Address) -> bool:
    """Whether others than programs of this machine may reach it, as far as is known by now."""
    if isinstance(address, TcpAddress):
        return address.host not in ("localhost", "::1") and not _LOOPBACK.fullmatch(address.host)
    return isinstance(address, InheritedAddress)


def _usable_token(token: str | None) -> bool:
    return token is None or (len(token) >= SHORTEST_TOKEN and bool(_TOKEN.fullmatch(token)))


def _checked_alone(site: Site) -> bool:
    return bool(site.health.bind) and site.health.live is None and site.health.ready is None


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
        ("workers.min", "workers.max"),
        lambda site: isinstance(site.workers, ElasticWorkers) and _least_workers_above_most(site),
        "workers.min must not be above workers.max",
        "for a fixed number write it alone: workers: 4",
    ),
    Rule(
        ("requests.max", "requests.jitter"),
        lambda site: _jitter_is_in_vain(site.requests),
        "requests.jitter has no effect while requests.max is 0",
        "set requests.max, or leave jitter out; for requests.age it is a share such as 20%",
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
        ("rollout.overlap", "rollout.proof"),
        lambda site: site.rollout.proof != 1.0 and not site.rollout.overlap,
        "rollout.proof has no effect with rollout.overlap: no",
        "all old workers end before the first new one starts: leave proof out",
    ),
    Rule(
        ("rollout.overlap", "rollout.batch"),
        lambda site: site.rollout.batch != 1 and not site.rollout.overlap,
        "rollout.batch has no effect with rollout.overlap: no",
        "all old workers end before the first new one starts: leave batch out",
    ),
    Rule(
        ("bind", "health.bind"),
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
        ("proxy.trusted", "proxy.prefix", "proxy.fields"),
        lambda site: not site.proxy.trusted and (site.proxy.prefix or bool(site.proxy.fields)),
        "proxy.prefix and proxy.fields have no effect while proxy.trusted is empty",
        "add the proxy's address to proxy.trusted: nobody else may say these",
    ),
    Rule(
        ("proxy.fields",),
        lambda site: same_fields(site.proxy.fields),
        "proxy.fields has names that are the same but for their spelling",
        "an application cannot tell X-User from X_User: name the one that the proxy sets",
    ),
    Rule(
        ("bind", "health.bind"),
        _plain_and_tls,
        "an address speaks either TLS or plain HTTP",
        "leave out one of them",
    ),
    Rule(
        ("bind", "health.bind", "tls.certificate"),
        lambda site: site.tls.certificate is None and any(map(speaks_tls, site.addresses)),
        "https:// needs a certificate",
        "name its file in tls.certificate (on a command line: --certificate)",
    ),
    Rule(
        ("bind", "health.bind", "tls.certificate"),
        lambda site: site.tls.certificate is not None and not any(map(speaks_tls, site.addresses)),
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
        ("log.access", "log.skip", "log.sample"),
        lambda site: bool(site.log.shares) and site.log.access == "off",
        "log.skip and log.sample have no effect while log.access is off",
        "they say what the access log leaves out",
    ),
    Rule(
        ("log.skip", "log.sample"),
        lambda site: not site.log.samples.keys().isdisjoint(site.log.skip),
        "log.skip and log.sample name the same path",
        "skip logs no request there, sample a share of them: keep one (a share alone is that of /)",
    ),
    Rule(
        ("bind", "health.bind", "admin.bind", "control"),
        _control_is_bound,
        "control and bind name the same socket",
        "one serves the application, the other controls the site",
    ),
    Rule(
        ("health.live", "health.ready"),
        lambda site: site.health.live is not None and site.health.live == site.health.ready,
        "health.live and health.ready must differ",
        "while the site stops one says 200 and the other 503",
    ),
    Rule(
        ("health.live", "health.ready", "health.bind"),
        _checked_alone,
        "health.bind has no effect without health.live or health.ready",
        "name at least one path, such as ready: /readyz",
    ),
    Rule(
        ("bind", "health.bind"),
        _shared_with_health,
        "health.bind and bind name the same address",
        "on those of bind the paths are answered anyway: leave it out of health.bind, or name another port",
    ),
    Rule(
        ("bind", "health.bind", "admin.bind"),
        _shared_with_admin,
        "admin.bind needs an address of its own",
        "the site is served at this one: name another port, or unix:run/admin.sock",
    ),
    Rule(
        ("bind", "health.bind", "admin.bind"),
        _admin_is_covered,
        "0.0.0.0 and another IPv4 address cannot share a port",
        "name another port in admin.bind",
    ),
    Rule(
        ("admin.bind",),
        lambda site: any(map(speaks_tls, site.admin.bind)),
        "admin.bind speaks no TLS",
        "leave out https://; from elsewhere it is reached by ssh -L, or through a proxy that speaks TLS",
    ),
    Rule(
        ("admin.bind", "admin.token"),
        lambda site: site.admin.token is None and any(map(_is_exposed, site.admin.bind)),
        "admin.bind can be reached by other machines, and there is no admin.token",
        "set admin.token (openssl rand -hex 32 makes one), or bind it to 127.0.0.1 or a unix socket",
    ),
    Rule(
        ("admin.token",),
        lambda site: not _usable_token(site.admin.token),
        f"admin.token must have at least {SHORTEST_TOKEN} characters, all of them visible ASCII",
        "openssl rand -hex 32 makes one",
    ),
    Rule(
        ("user", "admin.user"),
        lambda site: site.admin.user is not None and site.admin.user in ("root", "0", site.user),
        "admin.user must be neither root nor the user of the site",
        "who breaks into one is not to have the other: leave it out for nobody, or make a user for it",
    ),
    Rule(
        ("admin.token", "admin.user", "admin.hosts", "admin.bind"),
        lambda site: not site.admin.bind and site.admin != AdminSettings(),
        "admin has no effect without admin.bind",
        "write, for example, bind: 127.0.0.1:9000",
    ),
    Rule(
        ("metrics.app",),
        lambda site: site.metrics.app and not site.admin.bind,
        "metrics.app has no effect without admin.bind: nothing answers /metrics",
        "write, for example, admin: {bind: 127.0.0.1:9000}, or leave metrics.app out",
    ),
)


def _of_paths(site: Site) -> Iterator[Rule]:
    """Those of each rule in `paths`."""
    for path, rule in site.paths.items():
        yield Rule(
            ("threads", "threads.max", "green", f"paths {path}.threads"),
            partial(_takes_too_many, rule),
            f"paths {path}.threads must not be above {site.model} ({site.most_threads})",
            f"a worker runs no more requests at once: lower it, or raise {site.model}",
        )
        yield Rule(
            ("log.access", f"paths {path}.log"),
            partial(_logs_in_vain, rule),
            f"paths {path}.log has no effect while log.access is off",
            "it says what the access log leaves out",
        )


def _of_companions(site: Site) -> Iterator[Rule]:
    """Those of each of `companions`."""
    for name, settings in site.all_companions.items():
        memory = f"companions {name}.memory"
        yield Rule(
            ("companions", f"{memory}.soft", f"{memory}.hard"),
            partial(_soft_of_one_is_not_below_hard, settings),
            f"{memory}.soft must be below {memory}.hard",
            "it is started anew at soft, before it has to be killed at hard",
        )


def _of_static(site: Site) -> Iterator[Rule]:
    """Those of each folder in `static`."""
    for prefix, folder in site.static.items():
        yield Rule(
            ("chdir", "static", f"static {prefix}"),
            partial(_holds_the_code, folder),
            f"static {prefix} would show clients the application's code: it is in that folder (chdir)",
            "put the files into a folder of their own, such as ./public",
        )


def _holds_the_code(folder: str, site: Site) -> bool:
    chdir, folder = (os.path.normpath(path) + "/" for path in (site.chdir, folder))
    return chdir.startswith(folder.replace("//", "/"))


def _soft_of_one_is_not_below_hard(settings: CompanionSettings, _: Site) -> bool:
    return _soft_is_not_below_hard(settings.memory)


def _takes_too_many(rule: PathRule, site: Site) -> bool:
    return (rule.threads or 0) > site.most_threads


def _logs_in_vain(rule: PathRule, site: Site) -> bool:
    return rule.log is not None and site.log.access == "off"
