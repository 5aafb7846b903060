"""How a connection ends: the server's own last words, hearing the client out, closing.

Called in whichever thread owns the connection. A method that goes on with one returns whether the caller
still owns it: False when it was closed.
"""

from __future__ import annotations

import socket
from typing import Final

from superwsgi.http.errors import ClientGone, HttpError
from superwsgi.http.exchange import Gateway
from superwsgi.http.head import Refusal, refusal
from superwsgi.http.request import Request
from superwsgi.log.access import AccessLog
from superwsgi.scoreboard import WorkerWriter
from superwsgi.worker.acceptor import Acceptor
from superwsgi.worker.alarm import SECOND, Alarm
from superwsgi.worker.connection import Connection
from superwsgi.worker.entries import access_entry
from superwsgi.worker.states import Event

SIZE: Final = 64 << 10
"""Bytes thrown away at once."""


class Ending:
    """`connections` are the worker's open ones. Times are monotonic ns."""

    def __init__(
        self,
        connections: dict[int, Connection],
        gateway: Gateway,
        alarm: Alarm,
        board: WorkerWriter,
        acceptor: Acceptor,
        access: AccessLog | None,
    ) -> None:
        self._connections = connections
        self._gateway = gateway
        self._alarm = alarm
        self._board = board
        self._acceptor = acceptor
        self._access = access if access is not None and access.enabled else None
        self._refused = 0

    def refuse(self, connection: Connection, error: HttpError, now: int) -> bool:
        """Answer in the application's place, for the last time on this connection."""
        self._refused += 1
        self._board.set("refused", self._refused)
        request = connection.parser.next
        request_id = request.id if request is not None else self._gateway.ids.make()
        response = self._refusal(error.status, request, request_id, now, error.advice)
        self._gateway.errors.debug(
            "request refused", request=request_id, status=error.status, reason=error.reason
        )
        self.log(connection, request, request_id, error.status, len(response.body), 0)
        connection.last = True
        connection.satisfied = False
        connection.parser.close()
        try:
            connection.send(bytes(response))
        except ClientGone:
            return self.close(connection)
        if connection.outbox.size:
            connection.become(Event.BLOCK, now)
            return True
        return self.hang_up(connection, now)

    def turn_away(self, connection: Connection, reason: str) -> bool:
        """Close a connection of which nobody knows whose it is: there is nobody to answer."""
        self._refused += 1
        self._board.set("refused", self._refused)
        peer = connection.remote or "unix"
        self._gateway.errors.info("connection refused", peer=peer, reason=reason, next="closed")
        return self.close(connection)

    def abandon(self, connection: Connection, request: Request, took: int, now: int) -> bool:
        """End a request whose thread was written off but still has it in hand: with 504, where nothing was
        sent yet, and nothing from that thread any more. The caller owns the connection now."""
        response = self._refusal(504, request, request.id, now)
        in_time = connection.overrule(bytes(response))
        self.log(connection, request, request.id, 504, len(response.body) if in_time else 0, took)
        if not in_time:
            return self.close(connection)
        connection.last = True
        return self.hang_up(connection, now)

    def hang_up(self, connection: Connection, now: int) -> bool:
        """After the last response. Closing while the client still sends would reset the connection, and the
        client might lose the response (RFC 9112 section 9.6); so stop sending first, and hear it out."""
        if connection.satisfied and connection.parser.error is None and not connection.has_spoken():
            return self.close(connection)
        connection.part()
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return self.close(connection)
        connection.pending = True
        connection.become(Event.LAST, now)
        return True

    def discard(self, connection: Connection) -> bool:
        """Throw away what the client still sends after the last response."""
        try:
            data = connection.sock.recv(SIZE)
        except BlockingIOError:
            return True
        except OSError:
            return self.close(connection)
        connection.pending = True
        return bool(data) or self.close(connection)

    def close(self, connection: Connection) -> bool:
        """The owner's last act; its lock is never released, so nobody else touches the connection."""
        connection.become(Event.CLOSE, 0)
        self._connections.pop(connection.fd, None)
        self._board.set("connections", len(self._connections))
        if connection.tls is not None:
            connection.part()
        connection.cut()
        connection.parser.close()
        connection.sock.close()
        if self._acceptor.away:
            self._acceptor.freed()
        if self._gateway.closing:
            self._alarm.no_later_than(0)  # it may have been the last
        return False

    def log(
        self,
        connection: Connection,
        request: Request | None,
        request_id: str,
        status: int,
        sent: int,
        took: int,
    ) -> None:
        """One line of the access log; `sent` is bytes of body, `took` ns."""
        if self._access is not None:
            entry = access_entry(connection.remote, request, request_id, status, sent, took / SECOND)
            self._access.log(entry)

    def _refusal(
        self, status: int, request: Request | None, request_id: str, now: int, advice: str = ""
    ) -> Refusal:
        date = self._gateway.clock.date(now)
        body = request is None or request.method != "HEAD"
        retry_after = 1 if status == 503 else None
        return refusal(status, date, request_id, advice=advice, body=body, retry_after=retry_after)
