"""The corpus: requests that must be refused, and odd ones that must not be. Data alone; the tests feed it.

`malformed.py` and `legitimate.py` have the cases, each with the rule that it is about: RFC and section where
there are only numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Refused(NamedTuple):
    """`data` gets `status`, without a byte more. `rule`: what it breaks."""

    name: str
    data: bytes
    status: int
    rule: str


class Accepted(NamedTuple):
    """`data` is one request; the application sees `environ`, among other things, and `body`."""

    name: str
    data: bytes
    environ: dict[str, Any]
    rule: str
    body: bytes = b""


def line(start: bytes) -> bytes:
    """A request with this request line."""
    return start + b"\r\nHost: a\r\n\r\n"


def target(text: bytes) -> bytes:
    return line(b"GET " + text + b" HTTP/1.1")


def fields(*lines: bytes) -> bytes:
    """A request with these field lines, and a Host."""
    return b"\r\n".join((b"GET / HTTP/1.1", b"Host: a", *lines, b"", b""))


def host(text: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: " + text + b"\r\n\r\n"


def post(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((b"POST / HTTP/1.1", b"Host: a", *lines, b"", body))


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body=body)


def trailer(*lines: bytes) -> bytes:
    return chunked(b"\r\n".join((b"5", b"hello", b"0", *lines, b"", b"")))
