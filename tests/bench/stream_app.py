"""Event streams, as bare WSGI and with Flask: at /ticks one event a second of each stream's own, at /told of
one thread that tells all. Each event is `data: NUMBER SENT`, SENT in monotonic nanoseconds.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from flask import Flask, Response

from tests.bench.apps import hello

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

PAUSE = 1.0
KIND = "text/event-stream"

flask = Flask(__name__)
flask.add_url_rule("/", "hello", lambda: "Hello, world!")


class Told:
    """Streams that one thread tells when it is time."""

    def __init__(self) -> None:
        self._queues: list[queue.SimpleQueue[int]] = []
        self._lock = threading.Lock()

    def events(self) -> Iterator[bytes]:
        own: queue.SimpleQueue[int] = queue.SimpleQueue()
        with self._lock:
            self._queues.append(own)
            if len(self._queues) == 1:
                threading.Thread(target=self._tell, daemon=True).start()
        for number in itertools.count():
            yield b"data: %d %d\n\n" % (number, own.get())

    def _tell(self) -> None:
        while True:
            time.sleep(PAUSE)
            with self._lock:
                for each in self._queues:
                    each.put(time.monotonic_ns())


def ticks() -> Iterator[bytes]:
    for number in itertools.count():
        yield b"data: %d %d\n\n" % (number, time.monotonic_ns())
        time.sleep(PAUSE)


STREAMS: dict[str, Callable[[], Iterator[bytes]]] = {"/ticks": ticks, "/told": Told().events}


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    stream = STREAMS.get(environ["PATH_INFO"])
    if stream is None:
        return hello(environ, start_response)
    start_response("200 OK", [("Content-Type", KIND), ("Cache-Control", "no-store")])
    return stream()


@flask.get("/<name>")
def of_flask(name: str) -> Response:
    return Response(STREAMS[f"/{name}"](), mimetype=KIND)
