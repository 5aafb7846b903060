"""A request's head: from its bytes to a WSGI environ, or the reason why it is refused.

A server that has to guess where a message ends or whom it is for may guess differently from the proxy in
front, and that is how requests are smuggled: anything ambiguous is refused, never repaired (RFC 9112 section
11.2). Errors are looked for in an order that makes the answer independent of how the bytes were cut: first
the request line, then line ends, then sizes, then the rest.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import BinaryIO, Final
from urllib.parse import unquote_to_bytes

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from superwsgi.apps.types import Environ
from superwsgi.board.counts import NUMBERS, OTHER_METHOD
from superwsgi.config.sections import Limits
from superwsgi.http.errors import HttpError
from superwsgi.http.fields import TOKEN, VALUE, EnvironKeys
from superwsgi.http.host import HOSTS, check_host
from superwsgi.http.request.body import Body
from superwsgi.http.request.rules import RequestRule

_BARE: Final = re.compile(rb"\r(?!\n)|(?<!\r)\n")
"""CR or LF on its own: some take it for the end of a line (RFC 9112 section 2.2)."""

_ONCE: Final = {"HTTP_HOST": "Host", "CONTENT_TYPE": "Content-Type"}
"""Messages are routed and read by these, and each reader could choose another one of two: RFC 9112 section
3.2, RFC 9110 section 5.3."""

_CONTROLS: Final = bytes([*range(32), 127])
_CR: Final = 13


class Request:
    """One request: complete as soon as the parser hands it out."""

    __slots__ = (
        "before", "body", "claim", "counted_as", "environ", "expects", "id", "keep_alive", "method", "origin",
        "page", "plain", "read", "rule", "target", "upgrade", "version",
    )  # fmt: skip

    def __init__(self, method: str, target: bytes, version: str, environ: Environ) -> None:
        self.id = ""
        self.claim = ""  # a field that is left out, by which its peer may mean to tell of a client
        self.method = method
        self.counted_as = NUMBERS.get(method, OTHER_METHOD)  # its number in counts.METHODS
        self.origin = self.target = target  # origin: without the host that it names
        self.page = self.target  # without the path of the site's root
        self.version = version
        self.environ = environ
        self.rule: RequestRule | None = None  # None: all is as for the whole site
        self.body: Body | None = None
        self.keep_alive = version == "HTTP/1.1"
        self.before = 0  # how many ns before it was read a trusted proxy got it, by its own word
        self.read = 0  # when that was, monotonic ns
        self.upgrade = False  # its application may take over the connection
        self.expects = False  # the client may wait for `100 Continue` before it sends the body
        self.plain = True  # all readers understand its head alike: see Llhttp

    def input(self) -> BinaryIO:
        """The whole body, for `wsgi.input`."""
        if self.body is None:
            return BytesIO()
        self.body.file.seek(0)
        return self.body.file


class HeadLimits:
    """What a head may have at most: bytes in its line and in all of it, and how many fields."""

    __slots__ = ("bytes", "fields", "line")

    def __init__(self, limits: Limits) -> None:
        self.bytes = limits.head
        self.fields = limits.fields
        self.line = limits.line


def read_head(head: bytes, environ: Environ, keys: EnvironKeys, limits: HeadLimits) -> Request:
    """The request whose head this is, without the empty line at its end. Raises HttpError.

    `environ` is a copy of the connection's, and becomes the request's.
    """
    lines = head.decode("latin-1").split("\r\n", limits.fields + 1)
    method, target, version, plain = read_line(lines[0], limits.line)
    if len(lines) > limits.fields + 1:
        raise too_large(head + b"\r\n\r\n", "fields over limits.fields")
    request = Request(method, target.encode("latin-1"), version, environ)
    if len(head.translate(None, _CONTROLS)) + 2 * len(lines) - 2 != len(head):
        _check_characters(head, lines)
        plain = False
    host, origin = "", target
    if not target.startswith("/"):
        host, origin = split_target(method, target)
        request.origin = origin.encode("latin-1")
        plain = False
    path, _, query = origin.partition("?")
    environ["REQUEST_METHOD"] = method
    environ["SERVER_PROTOCOL"] = version
    environ["RAW_URI"] = environ["REQUEST_URI"] = target
    environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1") if "%" in path else path
    environ["QUERY_STRING"] = query
    known = keys.known
    for at in range(1, len(lines)):
        name, _, value = lines[at].partition(": ")
        key = known.get(name)
        if key and value and key not in environ:  # a shortcut for the usual case
            environ[key] = value.strip(" \t")
        else:
            _add_field(request, lines[at], keys)
            plain = False
    request.plain = plain
    if host:
        _replace_host(environ, host)
    return request


def too_large(head: bytes | bytearray, reason: str) -> HttpError:
    """The error for a head, complete or not; bare CR or LF come first."""
    return HttpError(400, "bare CR or LF") if has_bare(head, 0, len(head)) else HttpError(431, reason)


def has_bare(data: bytes | bytearray, start: int, end: int) -> bool:
    """Whether there is a bare CR or LF from `start` on; a CR at the `end` may still get its LF."""
    if end > start and data[end - 1] == _CR:
        end -= 1
    return _BARE.search(data, start, end) is not None


def _check_characters(head: bytes, lines: list[str]) -> None:
    """A head contains control characters; only tabs in values are allowed."""
    if _BARE.search(head):
        raise HttpError(400, "bare CR or LF")
    if "\t" in lines[0] or not all(map(VALUE.fullmatch, lines)):
        raise HttpError(400, "control character in the head")


def _add_field(request: Request, line: str, keys: EnvironKeys) -> None:
    """A field under its CGI name; repeated ones joined (RFC 9110 section 5.3, RFC 6265 for Cookie)."""
    name, colon, value = line.partition(":")
    if not colon:
        raise HttpError(400, "field line without a colon")
    key = keys.learn(name)
    value = value.strip(" \t")
    environ = request.environ
    if not key:
        if keys.is_told(name.lower()):
            request.claim = name
    elif key not in environ:
        environ[key] = value
    elif key in _ONCE:
        raise HttpError(400, f"more than one {_ONCE[key]}")
    else:
        keys.check_single(name)
        environ[key] += ("; " if key == "HTTP_COOKIE" else ",") + value


def _replace_host(environ: Environ, host: str) -> None:
    """RFC 9112 section 3.2.2: the target's host replaces the field, which must be valid anyway."""
    if "HTTP_HOST" in environ:
        check_host(environ["HTTP_HOST"])
        environ["HTTP_HOST"] = host
    elif environ["SERVER_PROTOCOL"] != "HTTP/1.1":
        environ["HTTP_HOST"] = host


def check_fields(request: Request) -> None:
    """Check Host, Expect and Connection. Raises HttpError."""
    environ = request.environ
    host, connection = environ.get("HTTP_HOST"), environ.get("HTTP_CONNECTION")
    if host is not None:
        if host not in HOSTS:
            check_host(host)
    elif request.version == "HTTP/1.1":
        raise HttpError(400, "no Host")  # RFC 9112 section 3.2
    if "HTTP_EXPECT" in environ:  # settled here: the application does not see it
        request.expects = _expects(environ.pop("HTTP_EXPECT").lower()) and request.version == "HTTP/1.1"
    if connection is not None:
        request.plain = request.plain and connection in _PLAIN_OPTIONS
        request.keep_alive = _goes_on(connection.lower(), request.keep_alive)


def check_scheme(request: Request) -> None:
    """RFC 9110 section 7.4: refuse an https URL on an unencrypted connection. Raises HttpError."""
    if request.target[:8].lower() == b"https://" and request.environ.get("wsgi.url_scheme") != "https":
        raise HttpError(421, "an https URL on a connection without TLS")


def _expects(expectation: str) -> bool:
    """RFC 9110 section 10.1.1: a list in which only one member is defined. Raises HttpError for others."""
    members = [member for part in expectation.split(",") if (member := part.strip(" \t"))]
    if members not in ([], ["100-continue"]):
        raise HttpError(417, "unknown expectation")
    return bool(members)


def _goes_on(connection: str, default: bool) -> bool:
    """RFC 9112 section 9.3."""
    if connection == "keep-alive":
        return True
    options = [option.strip(" \t") for option in connection.split(",")]
    return "close" not in options and (default or "keep-alive" in options)


# The request line: RFC 9112 section 3, less the parts that no client needs and that are ambiguous.
#
# - Methods are those that llhttp knows, from HTTP and WebDAV; others are 501 (RFC 9110 section 9.1). One in
#   lower case would slip past a proxy's rule for POST, and become POST in a lenient framework.
# - A target is visible ASCII without a fragment. Raw UTF-8 is not a URI (RFC 3986 section 2), and proxies
#   differ in how they treat it.

_LINE: Final = re.compile(rf"({TOKEN.pattern}) ([!-~]+) HTTP/([0-9]\.[0-9])")
_RAW_LINE: Final = re.compile(rf"{TOKEN.pattern} [!-~\x80-\xff]+ HTTP/[0-9]\.[0-9]")
_METHOD: Final = re.compile(r"[A-Z][A-Z0-9_-]{0,31}")
_METHODS: Final = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

# Other protocols, by how they begin.
_FOREIGN: Final = {
    "\x16": "this port speaks plain HTTP, not TLS: ask for http://, not https://",
    "PRI * HTTP/2.0": "this port speaks HTTP/1.1, not HTTP/2 with prior knowledge",
    "PROXY ": "a PROXY protocol header, but proxy.protocol is off, as it always is on health.bind",
    "\0": "not HTTP; if it is a PROXY protocol header: proxy.protocol is off, as always on health.bind",
}


def read_line(line: str, longest: int) -> tuple[str, str, str, bool]:
    """Method, target, version of a line without its end, and whether the method is a usual one. Raises
    HttpError.

    Control characters in the target are found later, in the check of the whole head.
    """
    try:
        method, target, version = line.split(" ")
    except ValueError:
        method = target = version = ""
    usual = method in _METHODS
    if (
        not usual
        or (version != "HTTP/1.1" and version != "HTTP/1.0")
        or len(line) > longest
        or "#" in target
        or not target.isascii()
    ):
        _check_line(line, longest)
    return method, target, version, usual


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
        raise HttpError(501, "CONNECT: this is not a proxy")
    if not _METHOD.fullmatch(method):
        raise HttpError(501, "unknown method: methods are spelled in capitals")
    if "#" in target:
        raise HttpError(400, "fragment in the target")


def split_target(method: str, target: str) -> tuple[str, str]:
    """Split a target that does not begin with a slash: the host that it names, if any, and path and query.

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


# llhttp, the parser of Node.js, through httptools: it has been fuzzed for years and knows the attacks; what
# it refuses is refused here. It does no more than that: it accepts two spaces in a request line, any Host and
# a fragment, so the strict reading is ours; and it does not stop after a message, so pipelined requests would
# pile up and the bytes after a body could not be looked at (framing.py says where a body ends).
#
# A head is *plain* if it leaves nothing to understand in two ways: a usual method, a path in visible ASCII,
# and fields of which none is new to this worker, comes twice, has a control character in its value, frames
# the message or changes the protocol. llhttp refuses no such head, as tests/http/request/test_plain.py finds
# out character by character: it is not shown these, and all others have to pass it before anything is done
# with them.

_PLAIN_OPTIONS: Final = frozenset({"keep-alive", "close"})
"""What Connection may say in a plain head."""


class Llhttp:
    """One for all connections of a process: as there are no callbacks, a call is over when it returns."""

    def __init__(self) -> None:
        self._between = HttpRequestParser(None)  # it expects a head

    def check(self, head: bytes, *, last: bool) -> None:
        """Raise HttpError unless `head`, with the empty line at its end, is the head of a request.

        A `last` one cannot be followed by another head: it announces a body, an upgrade, or the end.
        """
        if not last:
            try:
                self._between.feed_data(head)
                return
            except HttpParserError:  # for this head, or for one that another thread has just shown it
                self._between = HttpRequestParser(None)
        _check(head)


def _check(head: bytes) -> None:
    try:
        HttpRequestParser(None).feed_data(head)
    except HttpParserUpgrade:
        pass
    except HttpParserInvalidMethodError:
        raise HttpError(501, "unknown method") from None
    except HttpParserError:
        raise HttpError(400, "not an HTTP/1 head") from None


LLHTTP: Final = Llhttp()
