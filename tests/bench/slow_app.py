"""An application that computes for two seconds while it is imported, and leaves what a fork would break."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

SECONDS = 2.0
LOADED = time.monotonic_ns()
PAIR = socket.socketpair()

while time.thread_time() < SECONDS:
    pass


def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """When its import began, on a clock that counts from the machine's boot."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(LOADED).encode()]
