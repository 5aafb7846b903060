"""The plain WSGI applications that every server runs. No framework is imported here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

GREETING = b"Hello, world!"
PAGE = b"x" * 100_000
LARGE = bytes(50 << 20)


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    return _answer(start_response, GREETING)


def body(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    return _answer(start_response, PAGE)


def large(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """50 MB at /large."""
    return _answer(start_response, LARGE if environ["PATH_INFO"] == "/large" else GREETING)


def sleep(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    time.sleep(0.010)
    return _answer(start_response, GREETING)


def _answer(start_response: StartResponse, content: bytes) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(content)))])
    return [content]
