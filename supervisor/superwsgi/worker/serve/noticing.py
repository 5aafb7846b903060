"""What the kernel tells of connections: whose turn it is now, and whose client has left. Called by the
polling thread for each event.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Final

from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.states import State
from superwsgi.worker.serve.connections import Connections
from superwsgi.worker.threads.left import LeftStreams

_READABLE: Final = select.EPOLLIN
_LOST: Final = select.EPOLLERR | select.EPOLLHUP
_MAY_BE_GONE: Final = _LOST | select.EPOLLRDHUP


class Noticing:
    """`drop_queued` ends a request that waits for its turn."""

    def __init__(
        self, connections: Connections, left: LeftStreams, drop_queued: Callable[[Connection], None]
    ) -> None:
        self._connections = connections
        self._queue = connections.queue
        self._left = left
        self._drop_queued = drop_queued

    def mark(self, connection: Connection, mask: int) -> None:
        """An event: take the connection, or notify its owner and keep sending in its place."""
        connection.noticed = self._connections.now
        if mask != _READABLE:
            self._told_more(connection, mask)
        if connection.call():
            self._connections.ready.append(connection)
        elif connection.sender.outbox.size:
            connection.sender.flush()
            self._left.note(connection)
            self._connections.call(connection)  # its owner may have looked before the flush

    def _told_more(self, connection: Connection, mask: int) -> None:
        if mask & select.EPOLLRDHUP:
            connection.ended = True
            connection.sender.doubted = True
            if connection.state is State.QUEUED:
                self._queue.sound(connection)
            elif connection.state is State.RUNNING:
                connection.sender.stream()
        if mask & _LOST:
            connection.sender.lose()
            if connection.state is State.QUEUED:
                self._drop_queued(connection)
        if mask & _MAY_BE_GONE:
            self._left.note(connection)
        if mask & select.EPOLLOUT and connection.state is State.BODY:
            connection.sender.flush()  # `100 Continue`, for which its client may wait

    def hand_out(self, fds: list[int]) -> None:
        """After an error in the middle of a batch: edge-triggered events come only once."""
        for fd in fds:
            connection = self._connections.open.get(fd)
            if connection is not None:
                self._connections.call(connection)
