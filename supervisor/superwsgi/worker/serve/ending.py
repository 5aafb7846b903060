"""How a connection ends: the server's own responses, hearing the client out, closing.

Called by the owner of the connection. A method that takes a step with one returns the next Step.
"""

from __future__ import annotations

import socket
import time
from functools import partial
from typing import Final

from superwsgi.board.counts import NUMBERS, OTHER_METHOD
from superwsgi.board.scoreboard import ThreadWriter
from superwsgi.http.errors import ClientGone, HttpError
from superwsgi.http.request.head import Request
from superwsgi.http.request.trace import described, named, named_by
from superwsgi.http.response.exchange import CLIENT_CLOSED, Exchange, access_entry
from superwsgi.http.response.head import Refusal, refusal
from superwsgi.log.rate_limit import Complaint
from superwsgi.log.sampling import ALL
from superwsgi.worker.connection.alarm import SECOND
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.states import Event
from superwsgi.worker.serve.acceptor import Acceptor
from superwsgi.worker.serve.connections import Connections, Step
from superwsgi.worker.serve.context import Context
from superwsgi.worker.serve.crowding import Addresses

SIZE: Final = 64 << 10
"""Bytes thrown away at a time."""


class Ending:
    """`addresses` counts the connections of each client, if they are limited. Times are monotonic ns."""

    def __init__(
        self, context: Context, connections: Connections, acceptor: Acceptor, addresses: Addresses | None
    ) -> None:
        self._open = connections.open
        self._gateway = context.gateway
        self._errors = context.errors
        self._access = context.access
        self._sampling = context.sampling
        self._alarm = context.alarm
        self._board = context.board
        self._by_path = context.by_path
        self._acceptor = acceptor
        self._addresses = addresses
        self._refusals: dict[str, Complaint] = {}  # by reason

    # The server's own responses.

    def refuse(self, connection: Connection, error: HttpError, now: int) -> Step:
        """Answer instead of the application, for the last time on this connection."""
        request = connection.parser.next
        request_id = request.id if request is not None else self._gateway.ids.make()
        for_head = connection.parser.for_head
        response = self._refusal(error.status, request_id, now, for_head=for_head, advice=error.advice)
        self._tell_refusal(error, named_by(request_id, "") if request is None else described(request), now)
        waited = now - connection.arrived if connection.parser.requests else 0
        times = 0.0, waited / SECOND
        self._log(connection, request, request_id, error.status, len(response.body), times)
        connection.follows = Event.LAST
        connection.parser.close()
        if not self._send(connection, response, error.status, request, waited):
            return self.close(connection)
        if connection.sender.outbox.size:
            connection.become(Event.BLOCK, now)
            return Step.REST
        return self.hang_up(connection, now)

    def _send(
        self, connection: Connection, response: Refusal, status: int, request: Request | None, took: int
    ) -> bool:
        """Send the server's own answer, and count it. Whether its client was there."""
        self._board.add("sending", 1)
        try:
            connection.sender.send(bytes(response))
        except ClientGone:
            return False
        finally:
            self._refused(request, status, len(response.body), took)
            self._board.add("sending", -1)
        return True

    def turn_away(self, connection: Connection, reason: str) -> Step:
        """Close a connection whose client is not known: there is nobody to answer."""
        self._board.add("turned_away", 1)
        peer = connection.remote or "unix"
        self._errors.info("connection refused", peer=peer, reason=reason, next="closed")
        return self.close(connection)

    def _tell_refusal(self, error: HttpError, who: dict[str, str], now: int) -> None:
        """Nobody here can fix the many mistakes of clients, but an operator can fix what the server lacks."""
        status, reason = error.status, error.reason
        level = "warning" if status == 503 else "debug"
        kind = reason if status == 503 else str(status)  # what clients do wrong has many words
        refused = self._refusals.get(kind)
        if refused is None:
            say = partial(self._errors.incident, level)
            refused = self._refusals[kind] = Complaint(say, "request refused")
        refused.make(now, **who, status=status, reason=reason)

    # After the application.

    def leave_to_poller(self, connection: Connection, exchange: Exchange, now: int) -> Step:
        """The application is done, but the client is not: free the thread, and keep sending the response."""
        connection.expect_end(exchange)
        connection.entry = exchange.entry(connection.remote, now)
        self._board.add("sending", 1)
        connection.become(Event.BLOCK, now)
        return Step.REST

    def break_off(self, connection: Connection, exchange: Exchange, now: int) -> Step:
        """The client does not get the whole response, through its own fault or the application's."""
        sender = connection.sender
        left = sender.gone
        sender.cut(reset=exchange.broken and exchange.unmarked)
        request, status = exchange.request, exchange.status
        sent = max(0, exchange.sent - sender.unsent)
        if left and (sender.unsent or not exchange.complete):
            target = request.target.decode("latin-1")
            status = self._tell_loss(connection, named(request), target, status, sent)
        app, took = now - exchange.began, now - connection.arrived
        self._count(request, status, sent, app, took)
        self._log(connection, request, request.id, status, sent, exchange.times(now))
        return self.close(connection)

    def abandon(self, connection: Connection, exchange: Exchange, now: int) -> Step:
        """End a request whose thread was written off but still has it in hand. The caller owns the connection
        now, and that thread sends nothing more. The client gets 504 if nothing was sent yet."""
        request = exchange.request
        exchange.keep_alive = False
        if exchange.complete:  # the client has its response, however the request ended
            return self._release(connection, exchange, now)
        response = self._refusal(504, request.id, now, for_head=request.method == "HEAD")
        self._board.add("sending", 1)
        in_time = connection.sender.overrule(bytes(response))
        sent = len(response.body) if in_time else 0
        self._refused(request, 504, sent, now - connection.arrived)
        self._board.add("sending", -1)
        self._log(connection, request, request.id, 504, sent, exchange.times(now))
        if not in_time:
            return self.close(connection)
        connection.expect_end(exchange)
        return self.hang_up(connection, now)

    def count_failed(self, connection: Connection | None, record: ThreadWriter) -> None:
        """An error in the server itself has ended the request that a thread had in hand."""
        exchange = None if connection is None else connection.exchange
        request = None if exchange is None else exchange.request
        record.count(500, OTHER_METHOD if request is None else request.counted_as, 0, 0, 0)
        if self._by_path is not None:
            self._by_path.count(request, 500, 0, 0)

    def _release(self, connection: Connection, exchange: Exchange, now: int) -> Step:
        if connection.sender.outbox.size:
            return self.leave_to_poller(connection, exchange, now)
        app, took = now - exchange.began, now - connection.arrived
        self._count(exchange.request, exchange.status, exchange.sent, app, took)
        if self._access is not None:
            self._access.log(exchange.entry(connection.remote, now))
        connection.expect_end(exchange)
        return self.hang_up(connection, now)

    # A client that leaves.

    def drop(self, connection: Connection) -> Step:
        """The client left while its request was waiting for a thread."""
        request = connection.parser.next
        assert request is not None
        self._tell_loss(connection, named(request), request.target.decode("latin-1"), CLIENT_CLOSED, 0)
        queued = time.monotonic_ns() - connection.arrived
        self._count(request, CLIENT_CLOSED, 0, -1, queued)
        self._log(connection, request, request.id, CLIENT_CLOSED, 0, (0.0, queued / SECOND))
        return self.close(connection)

    def lose(self, connection: Connection) -> Step:
        """The client left before there was anything to answer."""
        self.tell_lost(connection, connection.sender.loss)
        return self.close(connection)

    def tell_lost(self, connection: Connection, how: str) -> None:
        """The client sends nothing more; log it if it was in the middle of a request's body."""
        parser = connection.parser
        request = parser.next
        if request is None:
            return
        self._errors.info(
            f"{how} during its upload",
            **described(request),
            received=parser.received,
            next="request dropped",
        )
        self._log(connection, request, request.id, CLIENT_CLOSED, 0, (0.0, 0.0))

    # The end.

    def hang_up(self, connection: Connection, now: int) -> Step:
        """After the last response. Closing while the client is still sending would reset the connection, and
        the client might lose the response (RFC 9112 section 9.6). So stop sending first, and hear the client
        out, unless it asked for the end and has sent nothing since."""
        asked = connection.follows is Event.CLOSE and connection.parser.error is None
        if asked and not connection.has_spoken():
            return self.close(connection)
        connection.sender.part()
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return self.close(connection)
        connection.called = True
        connection.become(Event.LAST, now)
        return Step.REST

    def discard(self, connection: Connection) -> Step:
        """Throw away anything that the client still sends after the last response."""
        try:
            data = connection.sock.recv(SIZE)
        except BlockingIOError:
            return Step.REST
        except OSError:
            return self.close(connection)
        connection.called = True
        return Step.REST if data else self.close(connection)

    def close(self, connection: Connection) -> Step:
        """The owner's last step; it remains the owner, so nobody else touches the connection."""
        connection.become(Event.CLOSE, 0)
        self._open.pop(connection.fd, None)
        self._board.set("connections", len(self._open))
        if connection.sender.tls is not None:
            connection.sender.part()
        connection.sender.cut()
        self.log_late(connection)
        connection.parser.close()
        connection.sock.close()
        if self._addresses is not None and connection.client:
            self._addresses.leave(connection.client)
        if self._acceptor.away:
            self._acceptor.freed()
        if self._gateway.closing:
            self._alarm.no_later_than(0)  # this may have been the last one
        return Step.END

    # The counts.

    def _count(self, request: Request, status: int, sent: int, app: int, took: int) -> None:
        self._board.count(status, request.counted_as, sent, app, took)
        if self._by_path is not None:
            self._by_path.count(request, status, app, took)

    def _refused(self, request: Request | None, status: int, sent: int, took: int) -> None:
        method = OTHER_METHOD if request is None else request.counted_as
        self._board.refuse(status, method, sent, took)
        if self._by_path is not None:
            self._by_path.count(request, status, -1, took)

    # The logs.

    def log_sampled(self, connection: Connection, exchange: Exchange, now: int) -> None:
        """Write the access log's line for an answer that has been sent, if it is to have one."""
        assert self._sampling is not None
        took = now - connection.arrived
        share = self._sampling.share(exchange.request.target, exchange.status, took)
        if not share:
            self._board.add("unlogged", 1)
        elif self._access is not None:
            self._access.log(exchange.entry(connection.remote, now)._replace(sample=share))

    def log_late(self, connection: Connection) -> None:
        """Write the access log's line for a response sent after its application was done, if one is due."""
        entry = connection.entry
        if entry is None:
            return
        connection.entry = None
        unsent = connection.sender.unsent
        sent = max(0, entry.sent - unsent)
        if unsent:
            who = named_by(entry.request_id, entry.traceparent)
            status = self._tell_loss(connection, who, entry.target, entry.status, sent)
            entry = entry._replace(status=status)
        took = time.monotonic_ns() - connection.arrived
        method, app = NUMBERS.get(entry.method, OTHER_METHOD), int(entry.duration * SECOND)
        self._board.count(entry.status, method, sent, app, took)
        if self._by_path is not None:
            self._by_path.count_late(entry.method, entry.target, entry.status, app, took)
        self._board.add("sending", -1)
        if self._access is None:
            return
        share = ALL
        if self._sampling is not None and not unsent:
            share = self._sampling.share(entry.target.encode("latin-1"), entry.status, took)
        if not share:
            self._board.add("unlogged", 1)
        else:
            duration = max(0.0, time.time() - entry.when)
            self._access.log(entry._replace(sent=sent, duration=duration, sample=share))

    def _log(
        self,
        connection: Connection,
        request: Request | None,
        request_id: str,
        status: int,
        sent: int,
        times: tuple[float, float],
    ) -> None:
        """One line of the access log; `sent` is bytes of body, `times` seconds in the application and in the
        queue."""
        if self._access is not None:
            app, queued = times
            entry = access_entry(connection.remote, request, request_id, status, sent, app, queued)
            self._access.log(entry)

    def _tell_loss(
        self, connection: Connection, who: dict[str, str], target: str, status: int, sent: int
    ) -> int:
        """Log why a response ended too early; returns the `status` for the access log."""
        errors, fault = self._errors, connection.sender.fault
        if fault:
            errors.notice(
                "response broken off",
                level="error",
                **who,
                target=target,
                sent=sent,
                reason=fault,
                next="connection closed",
            )
            return status
        loss = connection.sender.loss
        errors.info(loss, **who, target=target, sent=sent, next="response ended")
        return CLIENT_CLOSED

    def _refusal(
        self, status: int, request_id: str, now: int, *, for_head: bool, advice: str = ""
    ) -> Refusal:
        date = self._gateway.clock.date(now)
        retry_after = 1 if status in (429, 503) else None
        return refusal(status, date, request_id, advice=advice, body=not for_head, retry_after=retry_after)
