"""One request answered by an application, without a socket: what the client got, and what the log says."""

from __future__ import annotations

import os
import weakref

from superwsgi.http.errors import ClientGone
from superwsgi.http.response.exchange import Exchange, Gateway
from superwsgi.log.error import ErrorLog
from tests.http.request.feeding import parse


class Recorder:
    """A channel that keeps what it is sent; after `patience` calls the client is gone."""

    def __init__(self, patience: int = 1000) -> None:
        self.pieces: list[bytes] = []
        self.patience = patience
        self.followed = False
        self.voids = [b""]
        self.streamed = False
        self.by_connection: list[bool] = []

    @property
    def gone(self) -> bool:
        return len(self.pieces) >= self.patience

    @property
    def void(self) -> bytes:
        return self.voids[-1]

    @void.setter
    def void(self, data: bytes) -> None:
        self.voids.append(data)

    def send(self, data):
        if len(self.pieces) >= self.patience:
            raise ClientGone
        self.pieces.append(data)

    send_piece = send
    send_last = send

    def send_file(self, span):
        self.send(os.pread(span.fd, span.size, span.offset))

    def stream(self):
        self.streamed = True

    def end_with_connection(self, on):
        self.by_connection.append(on)

    @property
    def head(self) -> str:
        return b"".join(self.pieces).partition(b"\r\n\r\n")[0].decode("latin-1")

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces).partition(b"\r\n\r\n")[2]

    @property
    def status(self) -> int:
        return int(self.head.split()[1])


class Answers:
    """What `app` answers to one request after the other of a worker; `log` is what the error log says."""

    def __init__(self, app, *, closing=False):
        self._fd = os.memfd_create("error.log")
        weakref.finalize(self, os.close, self._fd)
        self.gateway = Gateway(app, ErrorLog(self._fd, "info"), closing=closing)

    def ask(self, method="GET", version="1.1", *, target="/here", patience=1000):
        """The client that has the answer, and the exchange."""
        request = parse(f"{method} {target} HTTP/{version}\r\nHost: x\r\n\r\n".encode()).requests[0]
        client = Recorder(patience)
        exchange = Exchange(self.gateway, request, client, now=1)
        exchange.answer()
        return client, exchange

    @property
    def log(self) -> str:
        return os.pread(self._fd, 1 << 20, 0).decode()


class Run:
    """`app` has answered one request."""

    def __init__(self, app, method="GET", version="1.1", *, patience=1000, closing=False):
        answers = Answers(app, closing=closing)
        self.client, self.exchange = answers.ask(method, version, patience=patience)
        self.log = answers.log


def says(status="200 OK", fields=(), body=(b"hello",)):
    def app(environ, start_response):
        start_response(status, list(fields))
        return body() if callable(body) else body

    return app
