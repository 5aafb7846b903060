"""Connections with a request that waits, and a socket on which nothing is said."""

from __future__ import annotations

import contextlib
import select
import socket

from superwsgi.config.sections import Limits, Timeouts
from superwsgi.http.request.head import Request
from superwsgi.http.request.parser import Parser, RequestIds
from superwsgi.worker.connection.alarm import SECOND, Alarm
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.outbox import Outbox
from superwsgi.worker.connection.sender import Sender
from superwsgi.worker.connection.states import State, waits
from superwsgi.worker.connection.storage import Stores


def request(path: str, method: str = "GET") -> Request:
    return Request(method, path.encode("latin-1"), "HTTP/1.1", {})


class Waiting:
    """A context manager: it closes what its connections share."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._sock, _ = (self._stack.enter_context(sock) for sock in socket.socketpair())
        self._epoll = self._stack.enter_context(select.epoll())
        self._alarm = Alarm()
        self._stack.callback(self._alarm.close_in_child)
        self._ids = RequestIds()
        self._waits = waits(Timeouts())

    def connection(self, path: str) -> Connection:
        parser = Parser(Limits(), {}, self._ids)
        parser.requests.append(request(path))
        outbox = Outbox(Stores(0, lambda error: None))
        sender = Sender(self._sock, outbox, self._epoll, self._alarm, SECOND, parser.requests)
        return Connection(self._sock, "", parser, sender, State.QUEUED, self._alarm, self._waits)

    def __enter__(self) -> Waiting:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()
