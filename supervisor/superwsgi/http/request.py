"""A request's head: from target and fields to a WSGI environ, or the reason why it is refused.

Beyond what llhttp has already refused (bad characters, bare CR or LF, repeated Content-Length, obsolete line
folding). Framing that two parties could read in two ways is refused, never repaired (RFC 9112 section 11.2).
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes

from superwsgi.http.body import Body
from superwsgi.http.errors import HttpError
from superwsgi.http.fields import EnvironKeys

Environ = dict[str, Any]


class Request:
    """One request: complete as soon as the parser hands it out."""

    __slots__ = ("body", "environ", "fields", "id", "keep_alive", "method", "target", "version")

    method: str
    version: str
    keep_alive: bool
    environ: Environ

    def __init__(self) -> None:
        self.id = ""  # until its head is complete
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.body: Body | None = None

    @property
    def has_body(self) -> bool:
        """Whether the head announces one: RFC 9112 section 6.3."""
        environ = self.environ
        return "HTTP_TRANSFER_ENCODING" in environ or environ.get("CONTENT_LENGTH", "0").strip("0") != ""

    def input(self) -> BinaryIO:
        """The whole body, for `wsgi.input`."""
        if self.body is None:
            return io.BytesIO()
        self.body.file.seek(0)
        return self.body.file

    def head_size(self) -> int:
        """Bytes of the request line and the fields as they are usually spelled."""
        line = len(self.method) + len(self.target) + len(" HTTP/1.1\r\n") + 1
        return line + sum(len(name) + len(value) + 4 for name, value in self.fields) + 2


def fill_environ(environ: Environ, request: Request, keys: EnvironKeys) -> None:
    """Add everything that the head says to `environ`, a copy of the connection's."""
    target = request.target.decode("latin-1")
    path, _, query = origin_form(request.method, target).partition("?")
    environ["REQUEST_METHOD"] = request.method
    environ["SERVER_PROTOCOL"] = request.version
    environ["RAW_URI"] = environ["REQUEST_URI"] = target
    environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1") if "%" in path else path
    environ["QUERY_STRING"] = query
    add_fields(environ, request.fields, keys)
    request.environ = environ


def add_fields(environ: Environ, fields: Iterable[tuple[bytes, bytes]], keys: EnvironKeys) -> None:
    """The fields under their CGI names; repeated ones joined (RFC 9110 section 5.3, RFC 6265 for Cookie)."""
    for name, value in fields:
        key = keys[name]
        if not key:
            continue
        text = value.decode("latin-1")
        if key not in environ:
            environ[key] = text
        elif key == "HTTP_HOST":
            raise HttpError(400, "more than one Host")  # RFC 9112 section 3.2
        else:
            environ[key] += ("; " if key == "HTTP_COOKIE" else ",") + text


def origin_form(method: str, target: str) -> str:
    """Path and query of a target (RFC 9112 section 3.2): `/path?query`, `http://host/path` or `*`."""
    if target.startswith("/"):
        return target
    if method == "CONNECT":
        raise HttpError(501, "CONNECT: this is no proxy")
    if target == "*":
        return "/"
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise HttpError(400, "target is neither a path nor an http URL")
    at = min((rest.index(mark) for mark in "/?" if mark in rest), default=len(rest))
    return rest[at:] if rest[at:].startswith("/") else f"/{rest[at:]}"


def check_head(request: Request) -> None:
    """Refuse what could be understood in two ways, or not at all. Raises HttpError."""
    environ = request.environ
    if "HTTP_HOST" not in environ and request.version == "HTTP/1.1":
        raise HttpError(400, "no Host")  # RFC 9112 section 3.2
    if "HTTP_TRANSFER_ENCODING" in environ:
        _check_transfer_encoding(request)
    if "HTTP_EXPECT" in environ and environ["HTTP_EXPECT"].lower() != "100-continue":
        raise HttpError(417, "unknown expectation")  # RFC 9110 section 10.1.1


def _check_transfer_encoding(request: Request) -> None:
    """RFC 9112 section 6.1."""
    if "CONTENT_LENGTH" in request.environ:
        raise HttpError(400, "Transfer-Encoding and Content-Length")
    if request.version != "HTTP/1.1":
        raise HttpError(400, "Transfer-Encoding before HTTP/1.1")
    if request.environ["HTTP_TRANSFER_ENCODING"].lower() != "chunked":
        raise HttpError(501, "transfer coding other than chunked")
