"""A request's head: from its bytes to a WSGI environ, or the reason why it is refused.

Whoever has to guess where a message ends or whom it is for may guess differently from the proxy in front, and
that is how requests are smuggled: what could be read in two ways is refused, never repaired (RFC 9112 section
11.2). The order in which mistakes are looked for is such that the answer does not depend on how the bytes
were cut: first what is wrong with the request line, then line ends, then sizes, then the rest.
"""

from __future__ import annotations

import io
import re
from typing import BinaryIO, Final
from urllib.parse import unquote_to_bytes

from superwsgi.apps.types import Environ
from superwsgi.config.schema import Limits
from superwsgi.http.client.claims import UNDERSTOOD
from superwsgi.http.errors import HttpError
from superwsgi.http.fields import VALUE, EnvironKeys
from superwsgi.http.host import HOSTS, check_host
from superwsgi.http.request.body import Body
from superwsgi.http.request.target import read_line, split_target

_BARE: Final = re.compile(rb"\r(?!\n)|(?<!\r)\n")
"""CR or LF on its own: some take it for the end of a line (RFC 9112 section 2.2)."""

_ONCE: Final = {"HTTP_HOST": "Host", "CONTENT_TYPE": "Content-Type"}
"""By these a message is routed and read, and of two each reader could choose another: RFC 9112 section 3.2,
RFC 9110 section 5.3."""

_CONTROLS: Final = bytes([*range(32), 127])
_CR: Final = 13


class Request:
    """One request: complete as soon as the parser hands it out."""

    __slots__ = ("body", "claim", "environ", "expects", "id", "keep_alive", "method", "target", "version")

    def __init__(self, method: str, target: str, version: str, environ: Environ) -> None:
        self.id = ""
        self.claim = ""  # the field by which a peer that is not trusted speaks for a client
        self.method = method
        self.target = target.encode("latin-1")
        self.version = version
        self.environ = environ
        self.body: Body | None = None
        self.keep_alive = version == "HTTP/1.1"
        self.expects = False  # the client may wait for `100 Continue` before it sends the body

    def input(self) -> BinaryIO:
        """The whole body, for `wsgi.input`."""
        if self.body is None:
            return io.BytesIO()
        self.body.file.seek(0)
        return self.body.file


def read_head(head: bytes | bytearray, environ: Environ, keys: EnvironKeys, limits: Limits) -> Request:
    """The request whose head this is, without the empty line at its end. Raises HttpError.

    `environ` is a copy of the connection's, and becomes the request's.
    """
    lines = head.decode("latin-1").split("\r\n", limits.fields + 1)
    method, target, version = read_line(lines[0], limits.line)
    if len(lines) > limits.fields + 1:
        raise too_large(head + b"\r\n\r\n", "fields over limits.fields")
    if len(head.translate(None, _CONTROLS)) + 2 * len(lines) - 2 != len(head):
        _check_characters(head, lines)
    request = Request(method, target, version, environ)
    host, origin = ("", target) if target.startswith("/") else split_target(method, target)
    path, _, query = origin.partition("?")
    environ["REQUEST_METHOD"] = method
    environ["SERVER_PROTOCOL"] = version
    environ["RAW_URI"] = environ["REQUEST_URI"] = target
    environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1") if "%" in path else path
    environ["QUERY_STRING"] = query
    del lines[0]
    known = keys.known.get
    for line in lines:
        name, _, value = line.partition(": ")
        key = known(name)
        if key and value and key not in environ:  # what is usual goes the short way
            environ[key] = value.strip(" \t")
        else:
            _add_field(request, line, keys)
    if host:
        _replace_host(environ, host)
    return request


def too_large(head: bytes | bytearray, reason: str) -> HttpError:
    """For a head, or what is here of it; unless it is none at all."""
    return HttpError(400, "bare CR or LF") if has_bare(head, 0, len(head)) else HttpError(431, reason)


def has_bare(data: bytes | bytearray, start: int, end: int) -> bool:
    """Whether there is a bare CR or LF from `start` on; a CR at the `end` may yet get its LF."""
    if end > start and data[end - 1] == _CR:
        end -= 1
    return _BARE.search(data, start, end) is not None


def _check_characters(head: bytes | bytearray, lines: list[str]) -> None:
    """There are control characters in a head; tabs may be, in values."""
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
        if name.lower() in UNDERSTOOD:
            request.claim = name
    elif key not in environ:
        environ[key] = value
    elif key in _ONCE:
        raise HttpError(400, f"more than one {_ONCE[key]}")
    else:
        environ[key] += ("; " if key == "HTTP_COOKIE" else ",") + value


def _replace_host(environ: Environ, host: str) -> None:
    """RFC 9112 section 3.2.2: what the target says, in place of a field that must be right nevertheless."""
    if "HTTP_HOST" in environ:
        check_host(environ["HTTP_HOST"])
        environ["HTTP_HOST"] = host
    elif environ["SERVER_PROTOCOL"] != "HTTP/1.1":
        environ["HTTP_HOST"] = host


def check_fields(request: Request) -> None:
    """Whom it is for, and what is asked beyond an answer. Raises HttpError."""
    environ = request.environ
    if "HTTP_HOST" in environ:
        if environ["HTTP_HOST"] not in HOSTS:
            check_host(environ["HTTP_HOST"])
    elif request.version == "HTTP/1.1":
        raise HttpError(400, "no Host")  # RFC 9112 section 3.2
    if "HTTP_EXPECT" in environ:  # settled here: nothing is left of it to the application
        request.expects = _expects(environ.pop("HTTP_EXPECT").lower()) and request.version == "HTTP/1.1"
    if "HTTP_CONNECTION" in environ:
        request.keep_alive = _goes_on(environ["HTTP_CONNECTION"].lower(), request.keep_alive)


def check_scheme(request: Request) -> None:
    """RFC 9110 section 7.4: an https URL is not asked for where nobody has encrypted it. Raises HttpError."""
    if request.target[:8].lower() == b"https://" and request.environ.get("wsgi.url_scheme") != "https":
        raise HttpError(421, "an https URL on a connection without TLS")


def _expects(expectation: str) -> bool:
    """RFC 9110 section 10.1.1: a list, of which only one member is known. Raises HttpError for others."""
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
