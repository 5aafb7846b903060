"""Where a request's body ends: Content-Length, or chunks (RFC 9112 sections 6 and 7).

Both readers take what they understand from the bytes they are shown, and return how far they got; the rest is
shown again once there is more. Chunk extensions are ignored and trailer fields dropped, after a check that
they follow the grammar and do not concern things settled in the head.
"""

from __future__ import annotations

import re
from typing import Final

from superwsgi.apps.types import Environ
from superwsgi.config.sections import Limits
from superwsgi.http.errors import HttpError
from superwsgi.http.fields import TOKEN, VALUE
from superwsgi.http.request.body import Body
from superwsgi.http.request.head import Request
from superwsgi.http.request.large import Lender

_LENGTH_DIGITS: Final = 18
"""Digits of a valid length; int() refuses thousands of digits, which a client may send."""

# RFC 9112 section 7.1, without the white space that nobody should send and that is often read differently.
_QUOTED: Final = r'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_EXTENSION: Final = rf";{TOKEN.pattern}(?:=(?:{TOKEN.pattern}|{_QUOTED}))?"
_CHUNK: Final = re.compile(rf"([0-9A-Fa-f]{{1,16}})((?:{_EXTENSION})*)")

_OVERHEAD: Final = 16
"""Free bytes of framing per chunk; more of them count against a limit until content makes up for them."""

_SHORT: Final = re.compile(
    b"|".join(rb"%x\r\n([\x00-\xff]{%d})\r\n" % (size, size) for size in range(1, 16)), re.IGNORECASE
)
"""A whole chunk whose size is one digit without extension: the kind of which there can be many."""

AT_ONCE: Final = 512
"""Chunks that are read in one go: a client that sends byte by byte takes half a millisecond, and then others
get their turn."""

_OF_LINE: Final = 8
"""A chunk with a longer size line counts as this many: reading it takes 4 to 6 times as long."""

# RFC 9110 section 6.5.1: fields that frame, route or describe the message may not come after it.
_NOT_IN_TRAILERS: Final = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class Sized:
    """A body of known length."""

    __slots__ = ("_body", "_left")

    def __init__(self, body: Body, length: int) -> None:
        self._body = body
        self._left = length

    @property
    def done(self) -> bool:
        return self._left == 0

    def read(self, data: bytes | bytearray, at: int) -> int:
        """Take the available bytes from `data`, starting at `at`; return where they end. Raises OSError."""
        end = min(len(data), at + self._left)
        self._left -= end - at
        self._body.write(data[at:end])
        return end

    def room(self) -> memoryview | None:
        """Where the next bytes may be received, if that is possible."""
        return self._body.room(self._left)

    def filled(self, size: int) -> None:
        self._body.filled(size)
        self._left -= size


class Chunked:
    """A body in chunks, and its trailer."""

    __slots__ = (
        "_body", "_budget", "_fields", "_largest", "_left", "_limits", "_overhead", "_request", "_trailer",
        "behind", "done",
    )  # fmt: skip

    def __init__(self, request: Request, body: Body, limits: Limits) -> None:
        self._request = request
        self._body = body
        self._largest = _largest(request, limits)
        self._limits = limits
        self._left = 0  # bytes of the current chunk, with the two after its content
        self._overhead = 0
        self._fields = 0  # in the trailer
        self._trailer = False
        self._budget = 0  # chunks left to read in this go
        self.behind = False  # more has arrived than was read in one go
        self.done = False

    def read(self, data: bytes | bytearray, at: int) -> int:
        """Take at most AT_ONCE chunks from `data`, starting at `at`; return where they end.

        Raises HttpError, OSError.
        """
        before = -1
        self._budget = AT_ONCE
        while before != at and at < len(data) and not self.done and self._budget > 0:
            before = at
            if self._left:
                at = self._read_content(data, at)
                continue
            if self._is_short(data, at):
                at = self._read_short(data, at)
            else:
                self._budget -= 1 if self._trailer else _OF_LINE  # limits.fields bounds a trailer
                at = self._read_line(data, at)
        self.behind = self._budget <= 0 and at < len(data) and not self.done
        return at

    def _is_short(self, data: bytes | bytearray, at: int) -> bool:
        """Whether this may be a whole chunk with a one-digit size."""
        return not self._trailer and data[at + 1 : at + 2] == b"\r" and _SHORT.match(data, at) is not None

    def _read_short(self, data: bytes | bytearray, at: int) -> int:
        """Read consecutive whole chunks with one-digit sizes."""
        pieces: list[bytes] = []
        while self._budget >= 0 and (chunk := _SHORT.match(data, at)) is not None:
            pieces.append(chunk[chunk.lastindex or 0])
            at = chunk.end()
            self._budget -= 1
        content = b"".join(pieces)
        if len(content) > self._largest - self._body.size:
            raise _too_large(self._request)
        self._body.write(content)
        self._overhead = max(0, self._overhead - len(pieces) * (_OVERHEAD - 1) - len(content))
        return at

    def _read_content(self, data: bytes | bytearray, at: int) -> int:
        end = min(len(data), at + self._left - 2)
        if end > at:
            self._left -= end - at
            self._body.write(data[at:end])
        if self._left == 2 and end < len(data):
            return self._read_end(data, end)
        return end

    def _read_end(self, data: bytes | bytearray, at: int) -> int:
        if not b"\r\n".startswith(data[at : at + 2]):
            raise HttpError(400, "chunk does not end where its size says")
        if at + 2 > len(data):
            return at
        self._left = 0
        return at + 2

    def _read_line(self, data: bytes | bytearray, at: int) -> int:
        end = data.find(b"\n", at)
        self._check_size(at, end if end >= 0 else len(data))
        if end < 0:
            return at
        if data[end - 1 : end] != b"\r" or end == at:
            raise HttpError(400, "bare LF in a chunked body")
        line = data[at : end - 1].decode("latin-1")
        if self._trailer:
            self._read_field(line)
        else:
            self._read_size(line)
        return end + 1

    def _check_size(self, at: int, end: int) -> None:
        if self._overhead + end - at > self._limits.head:
            raise HttpError(431, "chunk extensions or trailer over limits.head")

    def _read_size(self, line: str) -> None:
        match = _CHUNK.fullmatch(line)
        if match is None:
            raise HttpError(400, "not a chunk's size")
        size = int(match[1], 16)
        if size > self._largest - self._body.size:
            raise _too_large(self._request)
        self._overhead = max(0, self._overhead + len(line) - _OVERHEAD - size)
        self._trailer = size == 0
        self._left = size + 2 if size else 0

    def _read_field(self, line: str) -> None:
        if not line:
            self.done = True
            return
        name, colon, value = line.partition(":")
        if not colon or not TOKEN.fullmatch(name) or not VALUE.fullmatch(value):
            raise HttpError(400, "invalid trailer field")
        if name.lower() in _NOT_IN_TRAILERS:
            raise HttpError(400, "trailer field that belongs in the head")
        self._overhead += len(line) + 2
        self._fields += 1
        if self._fields > self._limits.fields:
            raise HttpError(431, "trailer fields over limits.fields")


def expect_body(request: Request, limits: Limits, lender: Lender) -> Sized | Chunked | None:
    """The reader for the body that the head announces, if any: RFC 9112 section 6.3. `lender` has memory for
    large ones. Raises HttpError."""
    environ = request.environ
    if "HTTP_TRANSFER_ENCODING" in environ:
        _check_transfer_encoding(request)
        request.body = Body(limits.body_memory, lender)
        return Chunked(request, request.body, limits)
    length = _read_length(request)
    if length > _largest(request, limits):
        raise _too_large(request)
    if length == 0:
        settle_length(environ, 0)
        return None
    request.body = Body(limits.body_memory, lender)
    return Sized(request.body, length)


def settle_length(environ: Environ, size: int) -> None:
    """The body is complete: applications read CONTENT_LENGTH, and need not know about chunks, or about more
    leading zeros than int() takes."""
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ["CONTENT_LENGTH"] = str(size)


def _largest(request: Request, limits: Limits) -> int:
    """Bytes that its body may have."""
    return limits.largest_body if request.rule is None else request.rule.body


def _too_large(request: Request) -> HttpError:
    return HttpError(413, f"body over {'limits.body' if request.rule is None else request.rule.body_key}")


def _read_length(request: Request) -> int:
    """RFC 9110 section 8.6; repeated fields come joined by commas."""
    text = request.environ["CONTENT_LENGTH"]
    if not (text.isascii() and text.isdigit()):
        raise HttpError(400, "Content-Length is not one number")
    digits = text.lstrip("0")
    if len(digits) > _LENGTH_DIGITS:
        raise _too_large(request)
    return int(digits or 0)


def _check_transfer_encoding(request: Request) -> None:
    """RFC 9112 section 6.1: a recipient may refuse all codings but the one that it must know."""
    if "CONTENT_LENGTH" in request.environ:
        raise HttpError(400, "both Transfer-Encoding and Content-Length")
    if request.version != "HTTP/1.1":
        raise HttpError(400, "Transfer-Encoding before HTTP/1.1")
    said = request.environ["HTTP_TRANSFER_ENCODING"].lower()
    if said == "chunked":
        return
    codings = [coding.strip(" \t") for coding in said.split(",")]
    if codings[-1] != "chunked" or "chunked" in codings[:-1] or "" in codings:
        raise HttpError(400, "Transfer-Encoding does not end in one chunked")
    if len(codings) > 1:
        raise HttpError(501, "transfer coding other than chunked")
