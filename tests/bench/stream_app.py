"""Event streams: at /ticks one event a second of each stream's own, at /told of one thread that tells all."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

EVENT = b"data: an event\n\n"
QUEUES: list[queue.SimpleQueue[bytes]] = []
LOCK = threading.Lock()


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    path = environ["PATH_INFO"]
    kind = "text/plain" if path == "/" else "text/event-stream"
    start_response("200 OK", [("Content-Type", kind), ("Cache-Control", "no-cache")])
    return {"/ticks": _ticks, "/told": _told}.get(path, _hello)()


def _hello() -> Iterator[bytes]:
    yield b"hello"


def _ticks() -> Iterator[bytes]:
    while True:
        time.sleep(1)
        yield EVENT


def _told() -> Iterator[bytes]:
    own: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    with LOCK:
        QUEUES.append(own)
        if len(QUEUES) == 1:
            threading.Thread(target=_tell, daemon=True).start()
    while True:
        yield own.get()


def _tell() -> None:
    while True:
        time.sleep(1)
        with LOCK:
            for each in QUEUES:
                each.put(EVENT)
