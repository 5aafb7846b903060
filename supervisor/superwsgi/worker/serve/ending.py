"""How a connection ends: the server's own responses, hearing the client out, closing.

Called by the owner of the connection. A method that takes a step with one returns the next Step.
"""

from __future__ import annotations

import socket
import time
from functools import partial
from typing import Final

from superwsgi.board.counts import NUMBERS, OTHER_METHOD
from superwsgi.board.thread_record import ThreadWriter
from superwsgi.http.errors import ClientGone, HttpError
from superwsgi.http.request.head import Request
from superwsgi.http.request.rules import RequestRule
from superwsgi.http.request.trace import described, named, named_by
from superwsgi.http.response.entry import access_entry
from superwsgi.http.response.exchange import CLIENT_CLOSED, Exchange
from superwsgi.http.response.head import Refusal, refusal
from superwsgi.log.rate_limit import Complaint
from superwsgi.log.sampling import ALL, Sampling
from superwsgi.worker.connection.alarm import SECOND
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.crowding import Addresses
from superwsgi.worker.connection.states import NEXT, Event, Sending
from superwsgi.worker.queue.expectations import kind_of
from superwsgi.worker.queue.shed_log import ShedLog
from superwsgi.worker.serve.acceptor import Acceptor
from superwsgi.worker.serve.connections import Connections, Step
from superwsgi.worker.serve.context import Context

SIZE: Final = 64 << 10
"""Bytes thrown away at a time."""

_TOO_LONG: Final = HttpError(504, "")


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
        self._by_kind = context.by_kind
        self._by_path = context.by_path
        self._acceptor = acceptor
        self._addresses = addresses
        self._shed_log = ShedLog(context.errors, context.alarm, context.site.limits.queue_age)
        self._refusals: dict[str, Complaint] = {}  # by reason

    # The server's own responses.

    def refuse(self, connection: Connection, error: HttpError, now: int) -> Step:
        """Answer instead of the application, for the last time on this connection."""
        request = connection.parser.next
        request_id = request.id if request is not None else self._gateway.ids.make()
        for_head = connection.parser.for_head
        response = self._refusal(error, request_id, now, for_head=for_head)
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

    def shed(self, connection: Connection, after: int, now: int) -> Step | None:
        """Refuse a complete request, so that others are answered in time; its client may ask again `after` so
        many seconds. The connection goes on: a new one would cost more than the answer. Returns the next
        step, or None if the client has taken all of it."""
        request = connection.parser.pop()
        if request.body is not None:
            request.body.close()
        waited = now - connection.arrived
        closing = self._gateway.closing and not connection.sender.followed
        keep_alive = request.keep_alive and request.version == "HTTP/1.1" and not closing
        if not keep_alive:
            connection.follows = Event.LAST if request.keep_alive else Event.CLOSE
        date, body = self._gateway.clock.date(now), request.method != "HEAD"
        response = refusal(503, date, request.id, close=not keep_alive, body=body, retry_after=after)
        self._board.add("shed", 1)
        self._shed_log.refused(kind_of(request), now)
        self._log(connection, request, request.id, 503, len(response.body), (0.0, waited / SECOND))
        connection.state = NEXT[connection.state][Event.RUN]
        connection.answered = now
        if not self._send(connection, response, 503, request, waited):
            return self.close(connection)
        if not connection.sender.outbox.size:
            return None
        connection.become(Event.BLOCK, now)
        return Step.REST

    def tell_shed(self, now: int) -> int:
        """Say which requests are shed, or that none are any more; returns when to look again."""
        return self._shed_log.look(now)

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
        if error.remedy:
            self._tell_remedy(error, who, now)
            return
        level = "warning" if status == 503 else "debug"
        kind = reason if status == 503 else str(status)  # what clients do wrong has many words
        refused = self._refusals.get(kind)
        if refused is None:
            say = partial(self._errors.incident, level)
            refused = self._refusals.setdefault(kind, Complaint(say, "request refused"))
        refused.make(now, **who, status=status, reason=reason)

    def _tell_remedy(self, error: HttpError, who: dict[str, str], now: int) -> None:
        """The proxy in front may be the one who is wrong; or else it is a client, of which there are many."""
        refused = self._refusals.get(error.reason)
        if refused is None:
            say = partial(self._errors.notice, level="info" if error.status == 404 else "warning")
            refused = self._refusals.setdefault(error.reason, Complaint(say, "request refused"))
        refused.make(now, **who, status=error.status, reason=error.reason, next=error.remedy)

    # After the application.

    def leave_to_poller(self, connection: Connection, exchange: Exchange, now: int) -> Step:
        """The application is done, but the client is not: free the thread, and keep sending the response."""
        connection.expect_end(exchange)
        connection.entry = exchange.entry(connection.remote, now)
        connection.rule, connection.page = exchange.request.rule, exchange.request.page
        self._board.add("sending", 1)
        connection.become(Event.BLOCK, now)
        return Step.REST

    def break_off(self, connection: Connection, exchange: Exchange, now: int) -> Step:
        """The client does not get the whole response, through its own fault or the application's."""
        sender = connection.sender
        left = sender.cut_off
        sender.shut()
        request, status = exchange.request, exchange.status
        sent = _sent(exchange, connection)
        if left and (sender.unsent or not exchange.complete):
            target = request.target.decode("latin-1")
            status = self._tell_loss(connection, named(request), target, status, sent)
        app, took = now - exchange.began, now - connection.arrived
        self._count(request, status, sent, app, took)
        self._by_kind.count(request, status, now)
        self._log(connection, request, request.id, status, sent, exchange.times(now))
        if left:
            return self.close(connection)
        return self._end_incomplete(connection, exchange, now)

    def abandon(self, connection: Connection, exchange: Exchange, now: int) -> Step:
        """End a request whose thread was written off but still has it in hand. The caller owns the connection
        now, and that thread sends nothing more. The client gets 504 if nothing was sent yet, else what was
        sent and an end that is none: no last chunk, less than Content-Length, or a reset."""
        request = exchange.request
        if exchange.complete:  # the client has its response, however the request ended
            exchange.keep_alive = False
            return self._release(connection, exchange, now)
        response = self._refusal(_TOO_LONG, request.id, now, for_head=request.method == "HEAD")
        self._board.add("sending", 1)
        in_time = connection.sender.overrule(bytes(response))
        sent = len(response.body) if in_time else _sent(exchange, connection)
        self._refused(request, 504, sent, now - connection.arrived)
        self._by_kind.count(request, 504, now)
        self._board.add("sending", -1)
        self._log(connection, request, request.id, 504, sent, exchange.times(now))
        return self._end_incomplete(connection, exchange, now)

    def _end_incomplete(self, connection: Connection, exchange: Exchange, now: int) -> Step:
        """The application says no more, and was not done. What it has said still reaches the client."""
        exchange.keep_alive = False
        connection.expect_end(exchange)
        if connection.sender.cut_off:
            return self.close(connection)
        if connection.sender.outbox.size:
            connection.become(Event.BLOCK, now)
            return Step.REST
        return self.hang_up(connection, now)

    def tell_upgraded(self, connection: Connection, exchange: Exchange, taken: int) -> None:
        """A connection that the application had taken over has ended. In the counts it took until then, in
        the access log as long as it was there."""
        request, status, now = exchange.request, exchange.status, time.monotonic_ns()
        app, took = taken - exchange.began, taken - connection.arrived
        self._count(request, status, exchange.sent, app, took)
        self._by_kind.count(request, status, taken)
        if self._sampling is not None:
            self.log_sampled(connection, exchange, now, took)
        elif self._access is not None:
            self._access.log(exchange.entry(connection.remote, now))

    def count_failed(self, connection: Connection | None, record: ThreadWriter) -> None:
        """An error in the server itself has ended the request that a thread had in hand."""
        exchange = None if connection is None else connection.exchange
        request = None if exchange is None else exchange.request
        record.count(500, OTHER_METHOD if request is None else request.counted_as, 0, 0, 0)
        if self._by_path is not None:
            self._by_path.count(request, 500, 0, 0)
        if request is not None:
            self._by_kind.count(request, 500, 0)

    def _release(self, connection: Connection, exchange: Exchange, now: int) -> Step:
        if connection.sender.outbox.size:
            return self.leave_to_poller(connection, exchange, now)
        app, took = now - exchange.began, now - connection.arrived
        self._count(exchange.request, exchange.status, exchange.sent, app, took)
        self._by_kind.count(exchange.request, exchange.status, now)
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
        out, unless it asked for the end and has sent nothing since. Where a reset is due, let what was sent
        arrive before it."""
        resets = connection.sender.resets
        asked = connection.follows is Event.CLOSE and connection.parser.error is None
        if asked and not resets and not connection.has_spoken():
            return self.close(connection)
        connection.sender.part()
        try:
            if not resets:
                connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return self.close(connection)
        connection.called = True
        connection.become(Event.LAST, now)
        return Step.REST

    def discard(self, connection: Connection) -> Step:
        """Throw away anything that the client still sends after the last response."""
        try:
            data = connection.sock.recv(SIZE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return Step.REST
        except OSError:
            return self.close(connection)
        connection.called = bool(data)
        return Step.REST if data or connection.sender.resets else self.close(connection)

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
        connection.shut()
        if self._addresses is not None and connection.client:
            self._addresses.leave(connection.client)
        if self._acceptor.away:
            self._acceptor.freed()
        if self._gateway.closing:
            self._alarm.no_later_than(0)  # this may have been the last one
        return Step.END

    def close_at_once(self, connection: Connection, now: int) -> bool:
        """The worker ends, whatever is in hand. Whether that breaks a response off: who has got nothing of
        one may ask another worker."""
        sender, exchange = connection.sender, connection.exchange
        broken = exchange is not None and not exchange.complete and sender.state is Sending.BEGUN
        sender.cut()
        self.log_late(connection)
        if broken and exchange is not None:
            request, sent = exchange.request, _sent(exchange, connection)
            self._log(connection, request, request.id, 503, sent, exchange.times(now))
        connection.forget()  # what is unread would make the end a reset
        connection.shut()
        return broken

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

    def log_sampled(self, connection: Connection, exchange: Exchange, now: int, took: int) -> None:
        """Write the access log's line for an answer that has been sent, if it is to have one."""
        assert self._sampling is not None
        request = exchange.request
        share = _share(self._sampling, request.rule, request.page, exchange.status, took)
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
        now = time.monotonic_ns()
        took = now - connection.arrived
        method, app = NUMBERS.get(entry.method, OTHER_METHOD), int(entry.duration * SECOND)
        self._board.count(entry.status, method, sent, app, took)
        if self._by_path is not None:
            self._by_path.count_late(entry.method, entry.target, entry.status, app, took)
        self._by_kind.count_late(entry.method, entry.target, entry.request_id, entry.status, now)
        self._board.add("sending", -1)
        if self._access is None:
            return
        share = ALL
        if self._sampling is not None and not unsent:
            share = _share(self._sampling, connection.rule, connection.page, entry.status, took)
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

    def _refusal(self, error: HttpError, request_id: str, now: int, *, for_head: bool) -> Refusal:
        date, later = self._gateway.clock.date(now), error.retry_after
        advice = error.advice
        return refusal(error.status, date, request_id, advice=advice, body=not for_head, retry_after=later)


def _sent(exchange: Exchange, connection: Connection) -> int:
    """Bytes of its body that have left for the client, or a few less: chunks have heads."""
    sender = connection.sender
    return max(0, exchange.sent - sender.unsent - sender.outbox.size)


def _share(sampling: Sampling, rule: RequestRule | None, page: bytes, status: int, took: int) -> float:
    if rule is None:
        return sampling.share(page, status, took)
    return sampling.share_by_rule(page, status, took, rule.slow, rule.logged)
