"""The request line: method, target, version. The host in a target has its grammar in host.py.

RFC 9112 section 3, less what no client needs and two parties could read in two ways:

- Methods are those that llhttp knows, of HTTP and WebDAV; others are 501 (RFC 9110 section 9.1). One in small
  letters would pass a proxy's rule for POST, and become POST in a framework that does not mind.
- A target is visible ASCII without a fragment. Raw UTF-8 is no URI (RFC 3986 section 2), and proxies differ
  in what they make of it.
"""

from __future__ import annotations

import re
from typing import Final

from superwsgi.http.errors import HttpError
from superwsgi.http.fields import TOKEN
from superwsgi.http.host import check_host

_LINE: Final = re.compile(rf"({TOKEN.pattern}) ([!-~]+) HTTP/([0-9]\.[0-9])")
_RAW_LINE: Final = re.compile(rf"{TOKEN.pattern} [!-~\x80-\xff]+ HTTP/[0-9]\.[0-9]")
_METHOD: Final = re.compile(r"[A-Z][A-Z0-9_-]{0,31}")
_VERSIONS: Final = frozenset({"HTTP/1.1", "HTTP/1.0"})
_METHODS: Final = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

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
    if match is None and _RAW_LINE.fullmatch(line):
        raise HttpError(400, "raw non-ASCII byte in the target: percent-encode it (RFC 3986 section 2.1)")
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
