"""How a connection ends: the server's own last words, hearing the client out, closing.

Called in whichever thread owns the connection. A method that goes on with one returns whether the caller
still owns it: False when it was closed.
"""

from __future__ import annotations

import socket
import time
from typing import Final

from superwsgi.http.errors import ClientGone, HttpError
from superwsgi.http.request.head import Request
from superwsgi.http.response.exchange import CLIENT_CLOSED, Exchange, Gateway, access_entry
from superwsgi.http.response.head import Refusal, refusal
from superwsgi.log.access import AccessLog
from superwsgi.log.rate_limit import Complaint
from superwsgi.scoreboard import WorkerWriter
from superwsgi.worker.connection.alarm import SECOND, Alarm
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.states import Event
from superwsgi.worker.serve.acceptor import Acceptor
from superwsgi.worker.serve.crowding import Addresses

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
        addresses: Addresses | None,
    ) -> None:
        self._connections = connections
        self._gateway = gateway
        self._alarm = alarm
        self._board = board
        self._acceptor = acceptor
        self._access = access if access is not None and access.enabled else None
        self._addresses = addresses
        self._lacks: dict[str, Complaint] = {}
        self._refused = 0

    def refuse(self, connection: Connection, error: HttpError, now: int) -> bool:
        """Answer in the application's place, for the last time on this connection."""
        self._refused += 1
        self._board.set("refused", self._refused)
        request = connection.parser.next
        request_id = request.id if request is not None else self._gateway.ids.make()
        for_head = connection.parser.for_head
        response = self._refusal(error.status, request_id, now, for_head=for_head, advice=error.advice)
        self._tell_refusal(error, request_id, now)
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

    def _tell_refusal(self, error: HttpError, request_id: str, now: int) -> None:
        """Clients' mistakes are many, and nobody here can mend them; what this server lacks somebody can."""
        errors, status, reason = self._gateway.errors, error.status, error.reason
        if status != 503:
            errors.debug("request refused", request=request_id, status=status, reason=reason)
            return
        lack = self._lacks.setdefault(reason, Complaint(errors.warning, "request refused"))
        lack.make(now, request=request_id, status=status, reason=reason)

    def leave_to_poller(self, connection: Connection, exchange: Exchange, now: int) -> bool:
        """The application is done, and the client is not: the thread goes, the response is sent on."""
        connection.last = not exchange.keep_alive
        took = (now - exchange.began) / SECOND
        request = exchange.request
        connection.entry = access_entry(
            connection.remote, request, request.id, exchange.status, exchange.sent, took
        )
        connection.become(Event.BLOCK, now)
        return True

    def break_off(self, connection: Connection, exchange: Exchange, now: int) -> bool:
        """The client does not get the whole response, by its own fault or the application's."""
        left = connection.gone
        connection.cut(reset=exchange.broken and exchange.unmarked)
        request, status = exchange.request, exchange.status
        sent = max(0, exchange.sent - connection.unsent)
        if left and (connection.unsent or not exchange.complete):
            status = self._tell_loss(connection, request.id, request.target.decode("latin-1"), status, sent)
        self.log(connection, request, request.id, status, sent, now - exchange.began)
        return self.close(connection)

    def abandon(self, connection: Connection, exchange: Exchange, now: int) -> bool:
        """End a request whose thread was written off but still has it in hand. The caller owns the connection
        now, and nothing comes from that thread any more. The client gets 504 where nothing was sent yet."""
        request = exchange.request
        if exchange.complete:
            return self._release(connection, exchange, now)
        response = self._refusal(504, request.id, now, for_head=request.method == "HEAD")
        in_time = connection.overrule(bytes(response))
        sent = len(response.body) if in_time else 0
        self.log(connection, request, request.id, 504, sent, now - exchange.began)
        if not in_time:
            return self.close(connection)
        connection.last = True
        return self.hang_up(connection, now)

    def _release(self, connection: Connection, exchange: Exchange, now: int) -> bool:
        """Its client has the whole response, or will have it: it need not know how the request ended."""
        exchange.keep_alive = False
        if connection.outbox.size:
            return self.leave_to_poller(connection, exchange, now)
        request, took = exchange.request, now - exchange.began
        self.log(connection, request, request.id, exchange.status, exchange.sent, took)
        connection.last = True
        return self.hang_up(connection, now)

    def drop(self, connection: Connection) -> bool:
        """The client left while its request was waiting for a thread."""
        request = connection.parser.next
        assert request is not None
        self._tell_loss(connection, request.id, request.target.decode("latin-1"), CLIENT_CLOSED, 0)
        self.log(connection, request, request.id, CLIENT_CLOSED, 0, 0)
        return self.close(connection)

    def lose(self, connection: Connection) -> bool:
        """The client left before there was anything to answer."""
        self.tell_lost(connection, connection.loss)
        return self.close(connection)

    def tell_lost(self, connection: Connection, how: str) -> None:
        """Nothing more comes of what the client sends; it is worth a line where that was a request's body."""
        parser = connection.parser
        request = parser.next
        if request is None:
            return
        self._gateway.errors.info(
            f"{how} during its upload",
            request=request.id,
            method=request.method,
            target=request.target.decode("latin-1"),
            received=parser.received,
            next="request dropped",
        )
        self.log(connection, request, request.id, CLIENT_CLOSED, 0, 0)

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
        self.log_late(connection)
        connection.parser.close()
        connection.sock.close()
        if self._addresses is not None and connection.client:
            self._addresses.leave(connection.client)
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

    def log_late(self, connection: Connection) -> None:
        """The line for a response that had to be sent on, where there is one: now its end is known."""
        entry = connection.entry
        if entry is None:
            return
        connection.entry = None
        sent = max(0, entry.sent - connection.unsent)
        if connection.unsent:
            status = self._tell_loss(connection, entry.request_id, entry.target, entry.status, sent)
            entry = entry._replace(status=status)
        if self._access is not None:
            self._access.log(entry._replace(sent=sent, duration=max(0.0, time.time() - entry.when)))

    def _tell_loss(self, connection: Connection, request_id: str, target: str, status: int, sent: int) -> int:
        """Why a response ended too early; what the access log has for its `status`."""
        errors, fault = self._gateway.errors, connection.fault
        if fault:
            errors.error(
                "response broken off",
                request=request_id,
                target=target,
                sent=sent,
                reason=fault,
                next="connection closed",
            )
            return status
        errors.info(connection.loss, request=request_id, target=target, sent=sent, next="response ended")
        return CLIENT_CLOSED

    def _refusal(
        self, status: int, request_id: str, now: int, *, for_head: bool, advice: str = ""
    ) -> Refusal:
        date = self._gateway.clock.date(now)
        retry_after = 1 if status in (429, 503) else None
        return refusal(status, date, request_id, advice=advice, body=not for_head, retry_after=retry_after)
