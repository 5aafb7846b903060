"""What becomes of a connection while it lives: read, parse, run the application, answer, send on.

Called in whichever thread owns the connection. A method that goes on with one returns whether the caller
still owns it: False when it was closed, or waits in the queue. How it ends is in ending.py.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from itertools import count
from random import randint
from typing import Final

from superwsgi.apps.types import Environ
from superwsgi.config.schema import Limits, Requests, Timeouts
from superwsgi.http.client.peers import Trusted
from superwsgi.http.errors import ClientGone, HttpError
from superwsgi.http.request.head import Request
from superwsgi.http.request.parser import Phase
from superwsgi.http.response.exchange import Exchange, Gateway
from superwsgi.log.access import AccessLog
from superwsgi.scoreboard import WorkerWriter
from superwsgi.tls.interface import Tls
from superwsgi.worker.connection.alarm import NEVER, Alarm, deadline_after
from superwsgi.worker.connection.bulk import Bulk
from superwsgi.worker.connection.connection import NO_LEASE, Connection
from superwsgi.worker.connection.states import NEXT, Event, State, waits
from superwsgi.worker.serve.acceptor import Acceptor
from superwsgi.worker.serve.arrivals import Arrivals
from superwsgi.worker.serve.baton import Baton
from superwsgi.worker.serve.crowding import Addresses
from superwsgi.worker.serve.ending import Ending
from superwsgi.worker.serve.thread import Hand

_BETWEEN: Final = Phase.BETWEEN
_PROXY: Final = State.PROXY
_BODY: Final = State.BODY
_SENDING: Final = State.SENDING
_LINGERING: Final = State.LINGERING
_RUN: Final = Event.RUN
_REST: Final = Event.REST

_FORGOTTEN: Final[Environ] = {}
"""In place of an answered request's environ: what the application put there must not outlive the request."""

_QUEUE_FULL: Final = HttpError(503, "as many requests wait for a thread as limits.queue allows")

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

BODY_SIZE: Final = 64 << 10
HEAD_SIZE: Final = 16 << 10
"""Bytes read at once: of a body, and where heads are expected. What stands behind a request is kept until
that has been answered."""


class Answered:
    """A request that was answered `at` some time, by an answer that is held."""

    __slots__ = ("at", "connection", "exchange")

    def __init__(self, connection: Connection, exchange: Exchange, at: int) -> None:
        self.connection = connection
        self.exchange = exchange
        self.at = at


class Service:
    """The connections of a worker and the threads' work on them. Times are monotonic ns.

    `ready`: connections that have something for us, owned. `complete`: those with a complete request, owned;
    `queue`: those that wait for a thread with it. `handshakes`: those that a step of theirs can be taken for,
    owned.
    `slots`: one token for each request that may yet enter the application.
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        limits: Limits,
        timeouts: Timeouts,
        requests: Requests,
        threads: int,
        alarm: Alarm,
        baton: Baton,
        board: WorkerWriter,
        acceptor: Acceptor,
        access: AccessLog | None,
        trusted: Trusted,
        on_recycle: Callable[[str], None],
    ) -> None:
        self.connections: dict[int, Connection] = {}
        self.ready: deque[Connection] = deque()
        self.complete: deque[Connection] = deque()
        self.queue: deque[Connection] = deque()
        self.handshakes: deque[Connection] = deque()
        self.leaving: deque[Answered] = deque()
        self.slots: list[None] = [None] * threads
        self.lost: dict[Hand, int] = {}  # written-off threads, perhaps in the application yet: hope until
        self.bulk = Bulk(threads)
        self._last_first = False
        self.waits = waits(timeouts)
        self.now = time.monotonic_ns()
        self._gateway = gateway
        self._said = gateway.errors.stream()
        self._begun = self._said.open  # lines: asking for it each time would be felt
        self._queue_limit = limits.queue
        self._request_timeout = deadline_after(timeouts.request)
        self._alarm = alarm
        self._baton = baton
        self._board = board
        self._acceptor = acceptor
        self._logs = access is not None and access.enabled
        addresses = Addresses(limits.per_address) if limits.per_address else None
        self.ending = Ending(self.connections, gateway, alarm, board, acceptor, access, addresses)
        self.arrivals = Arrivals(
            self.connections, self.waits, gateway, alarm, board, self.ending, trusted, addresses
        )
        self._on_recycle = on_recycle
        self._last_request = requests.max + randint(0, requests.jitter) if requests.max else 0
        self._requests = count(1)

    def secured(self, connection: Connection, data: bytes) -> bool:
        """The handshake is done, and `data` has come behind it."""
        if data:
            connection.parser.feed(data)
        return self._sent(connection, self.now)

    def attend(self, connection: Connection, hand: Hand) -> None:
        """Go on with a connection that this thread owns, until it has to wait for something."""
        hand.attended = connection
        connection.pending = False
        state = connection.state
        if state is _SENDING:
            owned = self._send_on(connection)
        elif state is _LINGERING:
            owned = self.ending.discard(connection)
        elif connection.parser.requests:
            connection.pending = True  # the event may have been for bytes behind these requests
            owned = self._complete(connection)
        elif state is _PROXY:
            owned = self.arrivals.introduce(connection, self.now)
        else:
            owned = self._read(connection)
        hand.attended = None
        if owned:
            self.let_go(connection, hand)

    def serve(self, connection: Connection, hand: Hand) -> None:
        """Run the application for a connection from `complete`, or let it wait for a thread."""
        hand.attended = connection
        owned = self._take_or_queue(connection, hand)
        hand.attended = None
        if owned:
            self.let_go(connection, hand)

    def let_go(self, connection: Connection, hand: Hand | None = None) -> None:
        """Own it no longer; if something happened to it meanwhile, it goes behind the others that are ready.

        Whoever polls takes it from there, so that a busy client holds no thread; unless that is us, wake it.
        """
        connection.owner.release()
        if connection.pending and connection.owner.acquire(False):
            self.ready.append(connection)
            if hand is None or not hand.holds:
                self._alarm.wake()

    def take_queued(self, hand: Hand) -> bool:
        """Run the request that has waited longest, where there is one and a slot for it."""
        while self.queue:
            try:
                self.slots.pop()
            except IndexError:
                return False
            connection = self._next_queued()
            if connection is None:
                self.slots.append(None)  # and look again: somebody may have queued one and found no slot
                if self.bulk.crowded:
                    return False
                continue
            self._board.set("queued", len(self.queue))
            hand.attended = connection
            if connection.gone:
                self.slots.append(None)
                owned = self.ending.drop(connection)
            else:
                owned = self._run(connection, hand)
            hand.attended = None
            if owned:
                self.let_go(connection, hand)
            return True
        return False

    def _next_queued(self) -> Connection | None:
        """The one that has waited longest; while responses fill files the last or the first, in turn, of
        those that are not expected to: all that waits longer may do so, too, and not be known to."""
        try:
            if not self.bulk.crowded:
                return self.queue.popleft()
            self._last_first = not self._last_first
            waiting = list(self.queue)
            for connection in reversed(waiting) if self._last_first else waiting:
                if not self._is_held_back(connection):
                    self.queue.remove(connection)
                    return connection
        except (IndexError, ValueError):  # somebody else has taken it
            pass
        return None

    def _is_held_back(self, connection: Connection) -> bool:
        """Whether its request waits although there may be a thread."""
        return self.bulk.crowded and self.bulk.expects(_path_of(connection.parser.requests[0]), self.now)

    def end_bulk(self, connection: Connection, request: Request) -> None:
        """The application is done with a request, or it is done without it."""
        connection.outbox.end_bulk(_path_of(request), self.now)

    def _complete(self, connection: Connection) -> bool:
        self.complete.append(connection)
        return False

    def _read(self, connection: Connection) -> bool:
        if connection.parser.behind:
            return self._parse_on(connection)
        size = BODY_SIZE if connection.state is _BODY else HEAD_SIZE
        try:
            data = connection.sock.recv(size)
        except BlockingIOError:
            return True
        except OSError:
            return self.ending.lose(connection)
        if not data:
            return self.ending.lose(connection)
        if len(data) == size or connection.ended:
            connection.pending = True  # the edge was for this and what is behind it
        if connection.tls is not None:
            if connection.state is State.HANDSHAKE:
                return self._await_step(connection, connection.tls, data)
            connection.writing.acquire()  # as in its send
            try:
                data = connection.tls.open(data)
            except OSError as error:
                connection.writing.release()
                self.ending.tell_lost(connection, f"TLS failed ({error})")
                return self.ending.hang_up(connection, self.now)  # for the alert not to be lost in a reset
            connection.writing.release()
            if not data:
                return True
        parser = connection.parser
        parser.feed(data)
        if parser.requests:
            return self._complete(connection)
        return self._await_rest(connection)

    def _parse_on(self, connection: Connection) -> bool:
        """Others have had their turn."""
        connection.pending = True  # the event may have been for bytes behind what is here
        connection.parser.go_on()
        if connection.parser.requests:
            return self._complete(connection)
        return self._await_rest(connection)

    def _await_step(self, connection: Connection, tls: Tls, data: bytes) -> bool:
        try:
            tls.take(data)
        except HttpError as error:
            connection.stay_plain()
            connection.parser.feed(data)  # what it asked, for its answer and the access log
            return self.ending.refuse(connection, error, self.now)
        self.handshakes.append(connection)
        return False

    def _await_rest(self, connection: Connection) -> bool:
        """No request is complete: the deadline of what is missing, unless that runs already."""
        parser = connection.parser
        if parser.error is not None:
            return self.ending.refuse(connection, parser.error, self.now)
        if parser.behind:
            connection.pending = True
        if parser.phase is Phase.HEAD and connection.state is not State.HEAD:
            connection.become(Event.HEAD, self.now)
        elif parser.phase is Phase.BODY and connection.state is not _BODY:
            if parser.wants_continue():
                try:
                    connection.send(_CONTINUE)
                except ClientGone:
                    return self.ending.lose(connection)
            connection.mark = 0
            connection.become(Event.BODY, self.now)
        return True

    def _take_or_queue(self, connection: Connection, hand: Hand) -> bool:
        if not (self.queue or (self.bulk.crowded and self._is_held_back(connection))):
            try:
                self.slots.pop()
            except IndexError:
                pass
            else:
                return self._run(connection, hand)
        if len(self.queue) >= self._queue_limit:
            return self.ending.refuse(connection, _QUEUE_FULL, self.now)
        connection.become(Event.QUEUE, self.now)
        self.queue.append(connection)
        self._board.set("queued", len(self.queue))
        return False

    def _run(self, connection: Connection, hand: Hand) -> bool:
        """Run the application for the first complete request; a slot has been taken."""
        request = connection.parser.take()
        now = time.monotonic_ns()
        connection.state = NEXT[connection.state][_RUN]
        connection.deadline = NEVER
        connection.begun = False
        connection.satisfied = not request.keep_alive
        connection.lease = hand.lease if self.complete else NO_LEASE
        if self.bulk.known and self.bulk.expects(_path_of(request), now):
            connection.outbox.be_bulky()
        if self.lost:
            request.environ["wsgi.multithread"] = True
        exchange = Exchange(self._gateway, request, connection, now)
        hand.connection, hand.exchange = connection, exchange
        hand.deadline = deadline = now + self._request_timeout
        if deadline < self._alarm.due:
            self._alarm.no_later_than(deadline)
        hand.slot.append(None)
        hand.record.begin(now, request.method.encode(), request.target)
        if hand.holds:
            cpu = self._baton.before(hand)
            exchange.answer()
            done = time.monotonic_ns()
            self._baton.after(hand, done - now, cpu)
        else:
            exchange.answer()
            done = time.monotonic_ns()
        if self._begun:
            self._said.flush()
        if connection.outbox.bulky:
            self.end_bulk(connection, request)
        try:
            hand.slot.pop()
        except IndexError:
            hand.written_off = True  # by the watch, which has ended the request in our place
            return False
        hand.connection = hand.exchange = None
        hand.record.end(done, exchange.status, exchange.sent)
        self.slots.append(None)
        if self._acceptor.away:
            self._acceptor.freed()
        if self._last_request and next(self._requests) == self._last_request:
            self._on_recycle("requests")
        if connection.held and hand.holds and not exchange.broken:
            self.leaving.append(Answered(connection, exchange, done))
            return False
        return self._leave(connection, exchange, done)

    def send_leaving(self, hand: Hand) -> None:
        """Send the answers that waited for each other, and go on with their connections."""
        while self.leaving:
            answered = self.leaving.popleft()
            connection = answered.connection
            hand.attended = connection
            owned = self._leave(connection, answered.exchange, answered.at)
            hand.attended = None
            if owned:
                self.let_go(connection, hand)

    def _leave(self, connection: Connection, exchange: Exchange, now: int) -> bool:
        if connection.held:
            connection.release()
        return self._conclude(connection, exchange, now)

    def _conclude(self, connection: Connection, exchange: Exchange, now: int) -> bool:
        """The application is done with the request; is the client, too?"""
        request = exchange.request
        if exchange.broken or connection.gone:
            owned = self.ending.break_off(connection, exchange, now)
        elif connection.outbox.size:
            owned = self.ending.leave_to_poller(connection, exchange, now)
        else:
            if self._logs:
                took = now - exchange.began
                self.ending.log(connection, request, request.id, exchange.status, exchange.sent, took)
            connection.last = not exchange.keep_alive
            owned = self._sent(connection, now)
        request.environ = _FORGOTTEN
        return owned

    def _sent(self, connection: Connection, now: int) -> bool:
        """The client has taken all of a response."""
        if connection.last:
            return self.ending.hang_up(connection, now)
        connection.become(_REST, now)
        parser = connection.parser
        if parser.requests:
            connection.pending = True
        elif parser.phase is not _BETWEEN or parser.error is not None:
            return self._await_rest(connection)
        return True

    def _send_on(self, connection: Connection) -> bool:
        connection.flush()
        if connection.gone:
            return self.ending.close(connection)
        if connection.outbox.size:
            return True
        connection.pending = True  # the event may have been for bytes that the client sent meanwhile
        self.ending.log_late(connection)
        return self._sent(connection, self.now)

    def recover(self, hand: Hand) -> None:
        """After an error of the server's own: take the thread out of its request, and end the connection."""
        self._baton.after(hand, 0, 0)
        connection, in_request = hand.attended, hand.connection is not None
        hand.attended = hand.connection = hand.exchange = None
        if in_request:
            try:
                hand.slot.pop()
            except IndexError:
                hand.written_off = True  # by the watch, which has ended request and connection
                return
            hand.record.end(time.monotonic_ns(), 500, 0)
            self.slots.append(None)
            if connection is not None and connection.outbox.bulky:
                connection.outbox.end_bulk("", self.now)
        if connection is not None and connection.state is not State.CLOSED:
            self.ending.close(connection)


def _path_of(request: Request) -> str:
    """As the client spelled it: the environ is the application's, which may shift or drop its path."""
    return request.target.partition(b"?")[0].decode("latin-1")
