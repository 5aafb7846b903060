"""Configuration of nginx and HAProxy in front of a site: what has to be in step with its site file comes from
there. Pure functions; the templates are those of config/nginx.conf and config/haproxy.cfg.
"""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import Final

from superwsgi.config.errors import ConfigError, Problem
from superwsgi.config.listening import Address, TcpAddress, UnixAddress
from superwsgi.config.schema import Site
from superwsgi.config.shown.reference import spell
from superwsgi.deployment.text import escaping
from superwsgi.deployment.text.filling import Value, filled

_MARGIN: Final = 10.0
"""Seconds that the one in front is more patient, so that the answer is the site's own."""

_KEPT: Final = 1.0
"""Seconds for which nginx keeps idle connections: the site has to keep them for twice as long."""

_ANY: Final = ("", "0.0.0.0", "::")
_LOOPBACK: Final = ("127.0.0.0/8", "127.0.0.1/32", "0.0.0.0/0")


def nginx(site: Site, file: str, certificate: str | None = None, key: str | None = None) -> str:
    """A file for conf.d; without a certificate, what needs one is a comment. Raises ConfigError,
    Unspeakable."""
    address = _upstream(site)
    first, second = _twice(address)
    timeouts = site.timeouts
    keep = min(timeouts.keepalive, timeouts.linger) >= 2 * _KEPT
    own: dict[str, Value] = {
        "unix": isinstance(address, UnixAddress),
        "first": escaping.nginx(first),
        "second": escaping.nginx(second),
        "keep": keep,
        "connection": '""' if keep else "close",
        "keepalive": spell(timeouts.keepalive, "duration"),
        "linger": spell(timeouts.linger, "duration"),
        "host": " ".join(_hosts(site)) or f"{site.name}.example",
        "body": _body(site),
        "folder": escaping.nginx(site.chdir),
        "fields": "\n".join(f'proxy_set_header {name} "";' for name in _set_by_nginx(site)),
        "underscores": any("_" in pattern for pattern in site.proxy.fields),
        "key": key or f"/etc/ssl/{site.name}.key",
        "certificate": certificate or f"/etc/ssl/{site.name}.pem",
    }
    return filled("nginx", {**_common(site, file, tls=certificate is not None), **own})


def haproxy(site: Site, file: str, certificate: str | None = None) -> str:
    """A file to stand below a `global` section; likewise."""
    address = _upstream(site)
    server = f"unix@{address.path}" if isinstance(address, UnixAddress) else _reached(address)
    own: dict[str, Value] = {
        "server": escaping.haproxy(server),
        "ready": site.health.ready,
        "fields": "\n".join(map(_removed_by_haproxy, site.proxy.fields)),
        "certificate": certificate or f"/etc/ssl/{site.name}-with-key.pem",
    }
    return filled("haproxy", {**_common(site, file, tls=certificate is not None), **own})


def _set_by_nginx(site: Site) -> list[str]:
    """Names of `proxy.fields` that no client may set. Nginx leaves out all with `_` that it does not set
    itself, but cannot do so with others by their beginning. Raises ConfigError."""
    open_ended = [pattern for pattern in site.proxy.fields if pattern.endswith("-*") and "_" not in pattern]
    if open_ended:
        message = (
            f"proxy.fields: {', '.join(open_ended)}: nginx cannot remove what clients send by such names"
        )
        raise ConfigError([Problem(None, message, "name each field that nginx sets, without a star")])
    return [name for name in site.proxy.fields if not name.endswith("*")]


def _removed_by_haproxy(pattern: str) -> str:
    name = pattern.lower()
    return f"http-request del-header {name.rstrip('*')}{' -m beg' if name.endswith('*') else ''}"


def _common(site: Site, file: str, *, tls: bool) -> dict[str, Value]:
    return {
        "name": site.name,
        "file": escaping.line(file).replace("%%", "%"),
        "tls": "" if tls else "# ",
        "queue": spell(site.timeouts.queue, "duration"),
        "request": spell(longest_request(site), "duration"),
        "patience": patience(site),
    }


def longest_request(site: Site) -> float:
    """Seconds, by the site's own deadline and those of `paths`."""
    rules = (rule.request for rule in site.paths.values() if rule.request is not None)
    return max([site.timeouts.request, *rules])


def patience(site: Site) -> int:
    """Seconds of silence after which an answer cannot come any more."""
    return math.ceil(max(site.timeouts.queue + longest_request(site), site.timeouts.keepalive) + _MARGIN)


def untrusted(site: Site) -> str | None:
    """What a site does not believe of such a proxy on the same machine, with what to write."""
    address = _upstream(site)
    trusted = set(site.proxy.trusted)
    if isinstance(address, UnixAddress):
        return None if "unix" in trusted else "proxy: {trusted: [unix]}"
    return None if trusted.intersection(_LOOPBACK) else "proxy: {trusted: [127.0.0.1/32]}"


def _upstream(site: Site) -> UnixAddress | TcpAddress:
    """Where a proxy connects to: an address without TLS, best a unix socket."""
    if site.proxy.protocol:
        hint = "config/nginx-stream.conf and config/haproxy-tcp.cfg are for that"
        raise ConfigError([Problem(None, "proxy.protocol: on is for proxies that pass on connections", hint)])
    files = [each for each in site.bind if isinstance(each, UnixAddress)]
    plain = [each for each in site.bind if isinstance(each, TcpAddress) and not each.tls]
    if not files and not plain:
        message = f"bind: {_said(site.bind)}: there is no address for a proxy to connect to"
        raise ConfigError([Problem(None, message, f"add one, such as unix:run/{site.name}.sock")])
    return files[0] if files else plain[0]


def _said(addresses: tuple[Address, ...]) -> str:
    return ", ".join(map(str, addresses))


def _reached(address: TcpAddress) -> str:
    host = "127.0.0.1" if address.host in _ANY else address.host
    return str(TcpAddress(host, address.port))


def _twice(address: UnixAddress | TcpAddress) -> tuple[str, str]:
    """One address in two spellings, where it has two."""
    if isinstance(address, TcpAddress):
        return _reached(address), _reached(address)
    path = PurePosixPath(address.path)
    return f"unix:{path}", f"unix:{path.parent}/./{path.name}"


def _hosts(site: Site) -> list[str]:
    """Names by which applications are mounted."""
    return sorted({host for mount in site.apps if (host := mount.partition("/")[0])})


def _body(site: Site) -> str:
    sizes = [site.limits.body, *(rule.body for rule in site.paths.values() if rule.body is not None)]
    if 0 in sizes:
        return "0"
    size = max(sizes)
    return f"{size >> 20}m" if size % (1 << 20) == 0 else str(size)
