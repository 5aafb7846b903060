"""Where a site would be reached, by whom, what they may send, and who is believed."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator, Sequence
from typing import Final

from superwsgi.checking.explain.facts import SiteFacts
from superwsgi.checking.explain.sections import Fact, Origins
from superwsgi.config.listening import Address, InheritedAddress, TcpAddress, UnixAddress
from superwsgi.config.schema import Site
from superwsgi.config.shown.reference import spell
from superwsgi.log.spelling import size
from superwsgi.tls.interface import SeenCertificate

_DAY: Final = 86400.0
_EVERYBODY: Final = {"0.0.0.0/0": "everybody by IPv4", "::/0": "everybody by IPv6"}
_BELIEVED: Final = "X-Forwarded-For, -Proto, -Host and -Port, Forwarded, X-Request-ID"


def sockets(site: Site, facts: SiteFacts, origins: Origins) -> Iterator[Fact]:
    purposes = (
        ("bind", site.bind, ""),
        ("health.bind", site.health.bind, "health checks only"),
        ("admin.bind", site.admin.bind, "page and metrics"),
    )
    for key, addresses, purpose in purposes:
        for address in addresses:
            parts = [_spelled(address), purpose, _reached(address, facts), _right(address, facts)]
            yield origins.fact(key, ", ".join(filter(None, parts)), str(address))
    yield _backlog(site, facts, origins)
    if facts.control is None:
        yield origins.fact("control", "off: no command can ask this site anything", None)
    else:
        yield origins.fact("control", f"unix:{facts.control}, for commands", facts.control)


def _spelled(address: Address) -> str:
    if isinstance(address, TcpAddress):
        return str(address) if address.tls else f"http://{address}"
    return str(address)


def _reached(address: Address, facts: SiteFacts) -> str:
    match address:
        case InheritedAddress():
            return "handed over by whoever starts it"
        case UnixAddress():
            workers = facts.workers.name if facts.workers is not None else "?"
            owner = address.owner or workers
            open_to = " (any user of this machine)" if address.mode & stat.S_IWOTH else ""
            owned = owner + (f":{address.group}" if address.group else "")
            return f"mode {address.mode:04o}{open_to}, of {owned}"
        case TcpAddress(host="0.0.0.0" | "::"):
            return "on every network"
    return "from this machine only" if _is_loopback(address) else ""


def _right(address: Address, facts: SiteFacts) -> str:
    low = isinstance(address, TcpAddress) and 0 < address.port < facts.machine.first_port
    return "a port for root or CAP_NET_BIND_SERVICE" if low else ""


def _is_loopback(address: Address) -> bool:
    host = address.host if isinstance(address, TcpAddress) else ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _backlog(site: Site, facts: SiteFacts, origins: Origins) -> Fact:
    wanted, most = site.limits.backlog, facts.machine.somaxconn
    granted = wanted if most is None else min(wanted, most)
    text = f"{granted} connections wait until they are accepted"
    if granted < wanted:
        text = f"{text}: {wanted} are cut by net.core.somaxconn"
    return origins.fact("limits.backlog", text, granted, called="backlog")


# TLS.


def certificates(site: Site, facts: SiteFacts, origins: Origins) -> Iterator[Fact]:
    for seen in facts.certificates:
        key = "tls.certificate" if seen.key == "tls" else "tls.sni"
        yield origins.fact(key, _certificate(seen, facts.now), _for_programs(seen), called=seen.key)
    yield origins.fact("tls.minimum", f"TLS {site.tls.minimum} or later", site.tls.minimum)
    if site.tls.client_ca is not None:
        need = "may show" if site.tls.client == "optional" else "must have"
        text = f"clients {need} a certificate signed by {site.tls.client_ca}"
        yield origins.fact("tls.client_ca", text, site.tls.client_ca)


def _certificate(seen: SeenCertificate, now: float) -> str:
    names = ", ".join(seen.names) or "no names"
    if seen.expires is None:
        return f"{seen.entry.certificate} cannot be used"
    day = time.strftime("%Y-%m-%d", time.gmtime(seen.expires))
    days = int((seen.expires - now) // _DAY)
    left = f"in {days} days" if days >= 0 else "it has expired"
    return f"{names}; until {day}, {left}; {seen.entry.certificate}"


def _for_programs(seen: SeenCertificate) -> dict[str, object]:
    return {"file": seen.entry.certificate, "names": [*seen.names], "expires": seen.expires}


# Clients and proxies.


def clients(site: Site, facts: SiteFacts, origins: Origins) -> Iterator[Fact]:
    yield origins.fact("proxy.trusted", _trusted(site.proxy.trusted), [*site.proxy.trusted], called="trusted")
    if site.proxy.protocol:
        text = "every connection has to begin with a PROXY header of one of these"
        yield origins.fact("proxy.protocol", text, True)
    if site.proxy.prefix:
        yield origins.fact("proxy.prefix", "they say below which path the site is (X-Forwarded-Prefix)", True)
    if site.proxy.fields:
        names = ", ".join(site.proxy.fields)
        yield origins.fact("proxy.fields", f"they alone may send {names}", [*site.proxy.fields])
    yield from _health(site, origins)
    body = size(site.limits.body) if site.limits.body else "of any size"
    yield origins.fact("limits.body", f"a request's body, at most {body}", site.limits.body)
    yield origins.fact("limits.head", f"a request's head, at most {size(site.limits.head)}", site.limits.head)
    yield _connections(site, facts, origins)
    for key, what in (
        ("request", "for the application to begin or go on with its answer"),
        ("queue", "to wait for a free thread"),
        ("graceful", "to be answered in when a worker ends"),
    ):
        seconds = getattr(site.timeouts, key)
        yield origins.fact(f"timeouts.{key}", f"{spell(seconds, 'duration')} {what}", seconds)


def _trusted(networks: Sequence[str]) -> str:
    if not networks:
        return f"nobody: {_BELIEVED} are ignored"
    names = " and ".join(map(_named, networks))
    return f"{names} may say who the client is ({_BELIEVED}); of all others that is ignored"


def _named(network: str) -> str:
    if network == "unix":
        return "whoever connects to a unix socket"
    single = network.removesuffix("/32").removesuffix("/128")
    return _EVERYBODY.get(network, single)


def _health(site: Site, origins: Origins) -> Iterator[Fact]:
    pages = {"live": site.health.live, "ready": site.health.ready}
    for key, path in pages.items():
        if path is not None:
            yield origins.fact(f"health.{key}", f"{path}, answered without the application", path)
    if not any(pages.values()):
        yield Fact("health", "no pages: balancers have to ask the application", None, "default")


def _connections(site: Site, facts: SiteFacts, origins: Origins) -> Fact:
    wanted, possible = site.limits.connections, facts.connections
    text = f"{possible} open at once in each worker"
    if possible < wanted:
        text += f": {wanted} are cut by {facts.machine.files} files (ulimit -Hn)"
    return origins.fact("limits.connections", text, possible)
