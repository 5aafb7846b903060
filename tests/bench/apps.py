"""The plain WSGI applications that every server runs. No framework is imported here."""

from __future__ import annotations

import threading
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


def long_sleep(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    time.sleep(0.100)
    return _answer(start_response, GREETING)


def mixed(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Slow at /slow, as a report or a search is, and quick elsewhere."""
    return (long_sleep if environ["PATH_INFO"] == "/slow" else hello)(environ, start_response)


def compute(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """At /20, say, after as many ms of CPU time of the thread."""
    end = time.thread_time_ns() + int(environ["PATH_INFO"][1:] or 0) * 1_000_000
    while time.thread_time_ns() < end:
        pass
    return _answer(start_response, GREETING)


def thread(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Which thread answers, by the kernel's number; at /blocks it waits first, as for a database."""
    if environ["PATH_INFO"] == "/blocks":
        time.sleep(0.005)
    return _answer(start_response, str(threading.get_native_id()).encode())


def _answer(start_response: StartResponse, content: bytes) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(content)))])
    return [content]
