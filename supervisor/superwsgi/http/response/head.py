"""The head of a response: status line, the application's fields, and the server's own.

RFC 9112 section 4 and 6, RFC 9110 section 6.6.1 (Date), PEP 3333 "The start_response() Callable".
"""

from __future__ import annotations

import re
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from superwsgi.http.errors import WsgiError
from superwsgi.http.fields import HOP_BY_HOP, VALUE, ResponseNames, check_value, exact, exact_field

SECOND: Final = 1_000_000_000

# PEP 3333: "a string of the form '999 Message here'"; 1xx never ends a request (RFC 9110 section 15.2).
_STATUS: Final = re.compile(r"([2-9]\d\d)(?: .*)?")
_NAMES: Final = ResponseNames()
_STATUS_LINES: Final[dict[str, tuple[int, str]]] = {}
_REMEMBERED: Final = 256

_TAKEN: Final = frozenset({"content-length", "date", "server", "x-request-id"}) | HOP_BY_HOP
"""Fields in which the server has a say."""

_LENGTHS: Final[dict[int, int | None]] = {204: None, 205: 0}
"""The application's Content-Length is not sent for these: RFC 9110 sections 8.6 and 15.3.6."""


class Clock:
    """The Date field, formatted once a second; `now` is monotonic ns."""

    __slots__ = ("_field", "_until")

    def __init__(self) -> None:
        self._field = ""
        self._until = 0

    def date(self, now: int) -> str:
        if now >= self._until:
            self._field = f"Date: {formatdate(usegmt=True)}\r\n"
            self._until = now + SECOND
        return self._field


class Spelling:
    """A whole head of which only the request's id is missing, between `before` and `behind`; it holds for a
    second, as long as its `date`, and for responses of that `length` with these `connection` fields."""

    __slots__ = ("before", "behind", "connection", "date", "length")

    def __init__(self, before: bytes, behind: bytes, date: str, length: int | None, connection: str) -> None:
        self.before = before
        self.behind = behind
        self.date = date
        self.length = length
        self.connection = connection


class ResponseHead:
    """What an application passed to start_response, checked and immutable. Raises WsgiError.

    `dropped` are fields that are the server's business, as the application spelled them.
    """

    __slots__ = (
        "_spelling", "bodiless", "closes", "dated", "dropped", "fields", "identified", "length", "named",
        "said_fields", "said_status", "status", "status_line",
    )  # fmt: skip

    def __init__(self, status: str, fields: list[Any]) -> None:
        self.said_status, self.said_fields = status, fields  # pairs of str, in their original tuples
        self.status, self.status_line = _STATUS_LINES.get(status) or _learn_status(status)
        self.bodiless = self.status in (204, 205, 304)  # RFC 9110 section 6.4.1, and 15.3.6
        self.length: int | None = None  # Content-Length, if the application gave it
        self.dated = self.named = self.identified = False  # whether it gave Date, Server and X-Request-ID
        self.closes = False  # whether it said `Connection: close`
        self.dropped: list[str] = []
        lines = []
        for name, value in fields:
            lower = _NAMES[name]
            if not (value.isascii() and value.isprintable()):
                check_value(name, value)
            if lower not in _TAKEN or self._passes(lower, name, value):
                lines.append(f"{name}: {value}\r\n")
        self.fields = "".join(lines)
        self._spelling = Spelling(b"", b"", "", -1, "")
        if self.status in _LENGTHS:
            self.length = _LENGTHS[self.status]

    def spell(self, clock: Clock, now: int, request_id: str, length: int | None, connection: str) -> bytes:
        """The head's bytes, sent `now`; `connection` are fields of the server's own."""
        date, spelling = clock.date(now), self._spelling
        if date is not spelling.date or length != spelling.length or connection != spelling.connection:
            self._spelling = spelling = self._spell(date, length, connection)
        if self.identified:
            return spelling.before + spelling.behind
        return spelling.before + request_id.encode("ascii") + spelling.behind

    def _spell(self, date: str, length: int | None, connection: str) -> Spelling:
        server = "" if self.named else "Server: superwsgi\r\n"
        identity, end = ("", "") if self.identified else ("X-Request-ID: ", "\r\n")
        size = "" if length is None else f"Content-Length: {length}\r\n"
        before = f"{self.status_line}{server}{'' if self.dated else date}{identity}"
        behind = f"{end}{self.fields}{size}{connection}\r\n"
        return Spelling(before.encode("latin-1"), behind.encode("latin-1"), date, length, connection)

    def _passes(self, lower: str, name: str, value: str) -> bool:
        """Note a field in which the server has a say. Whether it is sent as it is."""
        if lower == "content-length":
            self._take_length(value)
        elif lower == "date":
            self.dated = True
        elif lower == "server":
            self.named = True
        elif lower == "x-request-id":
            self.identified = True
        else:
            self.dropped.append(name)
            self.closes = self.closes or (lower == "connection" and _says_close(value))
        return lower not in HOP_BY_HOP and lower != "content-length"

    def _take_length(self, value: str) -> None:
        if not (value.isascii() and value.isdigit()) or self.length not in (None, int(value)):
            raise WsgiError(f"Content-Length: {value!r}")
        self.length = int(value)


class ResponseHeads:
    """Checked heads. A repeated head is checked only once, which saves 0.4 us per response."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = ResponseHead("200 OK", [])

    def check(self, status: Any, fields: Any) -> ResponseHead:
        """Check a head. Looks at nothing from the application twice, and keeps nothing but text. Raises
        WsgiError."""
        last = self._last
        if type(status) is str and type(fields) is list and _says_same(status, fields, last):
            return last
        said_status, said_fields = _exact_status(status), _exact_fields(fields)
        if said_status == last.said_status and said_fields == last.said_fields:
            return last
        self._last = head = ResponseHead(said_status, said_fields)
        return head


def _says_same(status: str, fields: list[Any], last: ResponseHead) -> bool:
    """Whether it is the `last` head once more: the very tuples, like constants in an application's source, or
    equal ones, of which nothing but plain text is compared: that demands nothing of foreign objects."""
    said = last.said_fields
    same, at = status == last.said_status and len(fields) == len(said), 0
    while same and at < len(said):
        same = fields[at] is said[at] or _is_equal(fields[at], said[at])
        at += 1
    return same


def _is_equal(field: Any, said: tuple[str, str]) -> bool:
    if not _is_exact(field):
        return False
    name: str = field[0]
    value: str = field[1]
    return name == said[0] and value == said[1]


def _exact_status(status: Any) -> str:
    text = status if type(status) is str else exact(status)
    if text is None:
        raise WsgiError(f"status is {type(status).__name__}, not str")
    return text


def _exact_fields(fields: Any) -> list[Any]:
    """PEP 3333 demands a list of tuples; anything that yields pairs is accepted."""
    pairs = []
    for field in fields:
        pairs.append(field if _is_exact(field) else exact_field(field))
    return pairs


def _is_exact(field: Any) -> bool:
    if type(field) is not tuple or len(field) != 2:
        return False
    pair: tuple[Any, Any] = field
    return type(pair[0]) is str and type(pair[1]) is str


def _says_close(connection: str) -> bool:
    return "close" in [option.strip(" \t") for option in connection.lower().split(",")]


def _learn_status(status: str) -> tuple[int, str]:
    match = _STATUS.fullmatch(status)
    if match is None or not VALUE.fullmatch(status):
        raise WsgiError(f"not a status: {status!r}")
    learnt = int(match[1]), f"HTTP/1.1 {status}{'' if ' ' in status else ' '}\r\n"
    if len(_STATUS_LINES) < _REMEMBERED:
        _STATUS_LINES[status] = learnt
    return learnt


class Refusal(NamedTuple):
    """A whole response of the server's own; `body` is empty for HEAD."""

    head: bytes
    body: bytes

    def __bytes__(self) -> bytes:
        return self.head + self.body


def check_answer(
    status: int, word: str, date: str, request_id: str, *, fields: str = "", body: bool = True
) -> Refusal:
    """The server's own answer to a health check, a word, without it for HEAD; `fields` are more of the head's
    lines."""
    before = f"{date}X-Request-ID: {request_id}\r\nContent-Type: text/plain\r\n"
    return _own_answer(status, before, f"Cache-Control: no-store\r\n{fields}", word, body)


def refusal(
    status: int,
    date: str,
    request_id: str,
    *,
    advice: str = "",
    close: bool = True,
    body: bool = True,
    retry_after: int | None = None,
) -> Refusal:
    """The server's own response, without its body for HEAD. `advice` tells the client what to change."""
    line = f"{status} {HTTPStatus(status).phrase}"
    before = f"Server: superwsgi\r\n{date}X-Request-ID: {request_id}\r\n"
    before += "Content-Type: text/plain; charset=utf-8\r\n"
    after = f"Retry-After: {retry_after}\r\n" if retry_after is not None else ""
    after += "Connection: close\r\n" if close else ""
    return _own_answer(status, before, after, f"{line}: {advice}" if advice else line, body)


def _own_answer(status: int, before: str, after: str, text: str, body: bool) -> Refusal:
    """With the head's lines `before` and `after` that of Content-Length."""
    content = f"{text}\n".encode("ascii")
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"{before}Content-Length: {len(content)}\r\n{after}\r\n"
    )
    return Refusal(head.encode("ascii"), content if body else b"")
