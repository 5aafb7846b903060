"""The request line: method, target, version, and the host in a target or in Host.

RFC 9112 section 3 and RFC 3986 section 3.2, less what no client needs and two parties could read in two ways:

- Methods are those that llhttp knows, of HTTP and WebDAV; others are 501 (RFC 9110 section 9.1). One in small
  letters would pass a proxy's rule for POST, and become POST in a framework that does not mind.
- A target is visible ASCII without a fragment. Raw UTF-8 is no URI (RFC 3986 section 2), and proxies differ
  in what they make of it.
- No comma in a host: it is how two Host fields look once somebody has joined them.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final

from superwsgi.http.errors import HttpError
from superwsgi.http.fields import TOKEN

_LINE: Final = re.compile(rf"({TOKEN.pattern}) ([!-~]+) HTTP/([0-9]\.[0-9])")
_METHOD: Final = re.compile(r"[A-Z][A-Z0-9_-]{0,31}")
_VERSIONS: Final = frozenset({"HTTP/1.1", "HTTP/1.0"})
_REG_NAME: Final = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+")
_ADDRESS: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\]")
_PORT: Final = re.compile(r"[0-9]{0,5}")
_LAST_PORT: Final = 65535

_REMEMBERED: Final = 1024
_USUAL: Final = 64
"""Characters of a host that is worth remembering."""

_METHODS: Final = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
HOSTS: Final[set[str]] = set()
"""Those that were right lately."""

# What speaks another protocol, by how it begins.
_FOREIGN: Final = {
    "\x16": "this port speaks plain HTTP, not TLS: ask for http://, not https://",
    "PRI * HTTP/2.0": "this port speaks HTTP/1.1, not HTTP/2 with prior knowledge",
    "PROXY ": "a PROXY protocol header, but proxy.protocol is off",
    "\0": "not HTTP; if it is a PROXY protocol header: proxy.protocol is off",
}


def read_line(line: str, longest: int) -> tuple[str, str, str]:
    """Method, target, version of a line without its end. Raises HttpError.

    Control characters in the target are left to whoever looks for them in the whole head.
    """
    try:
        method, target, version = line.split(" ")
    except ValueError:
        method = target = version = ""
    if (
        method not in _METHODS
        or version not in _VERSIONS
        or len(line) > longest
        or "#" in target
        or not target.isascii()
    ):
        _check_line(line, longest)
    return method, target, version


def _check_line(line: str, longest: int) -> None:
    for beginning, reason in _FOREIGN.items():
        if line.startswith(beginning):
            raise HttpError(400, reason)
    if "\n" in line[: longest + 2]:
        raise HttpError(400, "request line ends in a bare LF")
    if len(line) > longest:
        raise HttpError(414, "request line over limits.line")
    match = _LINE.fullmatch(line)
    if match is None:
        raise HttpError(400, "not a request line: method, target, HTTP/1.1, one space between them")
    method, target, version = match.groups()
    if version not in ("1.1", "1.0"):
        raise HttpError(505, "HTTP version is neither 1.0 nor 1.1")
    if method == "CONNECT":
        raise HttpError(501, "CONNECT: this is no proxy")
    if not _METHOD.fullmatch(method):
        raise HttpError(501, "unknown method: methods are spelled in capitals")
    if "#" in target:
        raise HttpError(400, "fragment in the target")


def split_target(method: str, target: str) -> tuple[str, str]:
    """A target that does not begin with a slash: the host that it names, if any, and path and query.

    RFC 9112 section 3.2. Raises HttpError.
    """
    if target == "*":
        if method != "OPTIONS":
            raise HttpError(400, "target * without OPTIONS")
        return "", "/"
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise HttpError(400, "target is neither a path nor an http URL")
    at = min((rest.index(mark) for mark in "/?" if mark in rest), default=len(rest))
    host, path = rest[:at], rest[at:]
    check_host(host)
    return host, path if path.startswith("/") else f"/{path}"


def check_host(host: str) -> None:
    """Raise HttpError unless it is `host` or `host:port`: RFC 9110 section 7.2, RFC 3986 section 3.2.2."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, ""
    if not _PORT.fullmatch(port) or int(port or 0) > _LAST_PORT:
        raise HttpError(400, "impossible port in the host")
    address = _ADDRESS.fullmatch(name)
    if not (_is_ipv6(address[1]) if address else _REG_NAME.fullmatch(name)):
        raise HttpError(400, "impossible host")
    if len(host) <= _USUAL:
        if len(HOSTS) >= _REMEMBERED:
            HOSTS.clear()  # clients choose the names; those in use are soon here again
        HOSTS.add(host)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True
