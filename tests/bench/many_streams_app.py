"""Event streams, as bare WSGI and with Flask: at /events one event a second until somebody asks for /end.
What /sent says is how many there were.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from flask import Flask, Response

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

PAUSE = 1.0

flask = Flask(__name__)


class Streams:
    """All of this process."""

    def __init__(self) -> None:
        self.sent = 0
        self._ended = False

    def end(self) -> str:
        self._ended = True
        return "ended"

    def events(self) -> Iterator[bytes]:
        for number in itertools.count():
            if self._ended:
                return
            self.sent += 1
            yield event(number)
            time.sleep(PAUSE)


streams = Streams()


def event(number: int) -> bytes:
    return b"data: %d\n\n" % number


def bare(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    if path == "/events":
        return streams.events()
    return [streams.end().encode() if path == "/end" else str(streams.sent).encode()]


@flask.get("/events")
def of_flask() -> Response:
    return Response(streams.events(), mimetype="text/event-stream")


@flask.get("/end")
def end() -> str:
    return streams.end()


@flask.get("/")
@flask.get("/sent")
def sent() -> str:
    return str(streams.sent)
