"""A file as an answer: the whole of it or a part, or that it has not changed. On the way of each request."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from superwsgi import unpatched
from superwsgi.apps.types import Environ, StartResponse
from superwsgi.files.asked.conditions import CHANGED, NOWHERE, Validators, precondition, wanted_range
from superwsgi.http.files import FileWrapper

OK: Final = "200 OK"
PARTIAL: Final = "206 Partial Content"
NOT_MODIFIED: Final = "304 Not Modified"

READABLE: Final = frozenset({"GET", "HEAD"})

_SAID_WITHOUT: Final = frozenset(
    {"content-type", "content-disposition", "content-encoding", "content-length"}
)
"""Not repeated in a 304, which tells nothing that the client does not have (RFC 9110 section 15.4.5)."""

_CONDITIONS: Final = (
    "HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_RANGE", "HTTP_IF_MATCH", "HTTP_IF_UNMODIFIED_SINCE",
)  # fmt: skip

Fields = list[tuple[str, str]]


def is_plain(environ: Environ) -> bool:
    """Whether a request wants the whole file, unconditionally."""
    for name in _CONDITIONS:
        if name in environ:
            return False
    return bool(environ["REQUEST_METHOD"] == "GET")


class Content:
    """What is sent of a file: from memory, or from a descriptor, which is closed with what is sent."""

    __slots__ = ("_body", "_fd", "size")

    def __init__(self, size: int, body: bytes | None, fd: int = -1) -> None:
        self.size = size
        self._body = body
        self._fd = fd

    def piece(self, first: int, last: int) -> Iterable[bytes]:
        """Bytes `first` to `last`."""
        if self._body is not None:
            return [self._body[first : last + 1]]
        file = open(self._fd, "rb", buffering=0)
        self._fd = -1
        file.seek(first)
        return FileWrapper(file)

    def close(self) -> None:
        """Nothing more of it is to be sent than `piece` has handed out."""
        if self._fd >= 0:
            unpatched.close(self._fd)
            self._fd = -1


def answer_with(
    content: Content, fields: Fields, validators: Validators, environ: Environ, start_response: StartResponse
) -> Iterable[bytes]:
    """Answer a GET or HEAD with 200, 206, 304, 412 or 416; `fields` are those of the whole file. What of the
    content is not sent is closed."""
    try:
        return _answer(content, fields, validators, environ, start_response)
    finally:
        content.close()


def _answer(
    content: Content, fields: Fields, validators: Validators, environ: Environ, start_response: StartResponse
) -> Iterable[bytes]:
    status = precondition(environ, validators)
    if status == CHANGED:
        return refuse(status, start_response)
    if status:
        start_response(NOT_MODIFIED, [field for field in fields if field[0].lower() not in _SAID_WITHOUT])
        return []
    if environ["REQUEST_METHOD"] == "HEAD":
        start_response(OK, fields)
        return []
    wanted = wanted_range(environ, content.size, validators)
    if wanted is None:
        start_response(OK, fields)
        return content.piece(0, content.size - 1)
    if wanted == NOWHERE:
        return refuse(416, start_response, ("Content-Range", f"bytes */{content.size}"))
    first, last = wanted
    start_response(
        PARTIAL,
        [
            *(field for field in fields if field[0].lower() != "content-length"),
            ("Content-Range", f"bytes {first}-{last}/{content.size}"),
            ("Content-Length", str(last - first + 1)),
        ],
    )
    return content.piece(first, last)


def refuse(status: int, start_response: StartResponse, *fields: tuple[str, str]) -> Iterable[bytes]:
    """A short answer of the server's own."""
    line = f"{status} {HTTPStatus(status).phrase}"
    body = f"{line}\n".encode("ascii")
    said: list[Any] = [
        ("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))), *fields
    ]  # fmt: skip
    start_response(line, said)
    return [body]
