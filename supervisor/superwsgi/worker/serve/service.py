"""What happens with a connection while it lives: read, parse, run the application, answer, keep sending.

`attend` is the one place where a thread takes a connection, does a step with it and lets it go. A step
returns what is to be done next with the connection, a Step. admission.py has how a connection begins,
ending.py how it ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from random import randint
from typing import Final

from superwsgi.apps.types import Environ
from superwsgi.http.errors import ClientGone, HttpError
from superwsgi.http.request.head import Request
from superwsgi.http.request.parser import Phase
from superwsgi.http.response.exchange import Exchange
from superwsgi.messages import Recycle
from superwsgi.tls.interface import Tls
from superwsgi.worker.connection.alarm import NEVER, deadline_after
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.sender import NO_LEASE
from superwsgi.worker.connection.states import NEXT, Event, Sending, State
from superwsgi.worker.connection.storage import Bulk
from superwsgi.worker.queue.expectations import kind_of
from superwsgi.worker.serve.acceptor import Acceptor
from superwsgi.worker.serve.admission import Admission
from superwsgi.worker.serve.connections import Connections, Step
from superwsgi.worker.serve.context import Context
from superwsgi.worker.serve.ending import Ending
from superwsgi.worker.serve.health import HealthChecks
from superwsgi.worker.threads.lost import LostThreads
from superwsgi.worker.threads.pool import Pool
from superwsgi.worker.threads.thread import WorkerThread

_BETWEEN: Final = Phase.BETWEEN
_PROXY: Final = State.PROXY
_BODY: Final = State.BODY
_SENDING: Final = State.SENDING
_LINGERING: Final = State.LINGERING
_RUNNING: Final = Event.RUN
_RESTING: Final = Event.REST
_HELD: Final = Sending.HELD
_CUT: Final = Sending.CUT
_ATTEND: Final = Step.ATTEND
_RUN: Final = Step.RUN
_QUEUE: Final = Step.QUEUE
_LEAVE: Final = Step.LEAVE
_REST: Final = Step.REST
_END: Final = Step.END

_FORGOTTEN: Final[Environ] = {}
"""Replaces an answered request's environ: what the application put there must not outlive the request."""

_QUEUE_FULL: Final = HttpError(503, "too many requests wait for a thread (limits.queue)")

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

BODY_SIZE: Final = 64 << 10
HEAD_SIZE: Final = 16 << 10
"""Bytes read at a time: of a body, and where a head is expected. Bytes that follow a request are kept until
it has been answered."""


class Service:
    """The threads' work on the worker's connections. Times are monotonic ns."""

    def __init__(
        self,
        context: Context,
        connections: Connections,
        pool: Pool,
        acceptor: Acceptor,
        admission: Admission,
        ending: Ending,
        bulk: Bulk,
        on_recycle: Callable[[Recycle], None],
    ) -> None:
        site, requests = context.site, context.site.requests
        self._context = context
        self._gateway = context.gateway
        self._sampled = context.sampling is not None
        self._access = None if self._sampled else context.access  # with it, log_sampled decides
        self._by_path = context.by_path
        self._lines = context.errors.lines
        self.lost = LostThreads(deadline_after(context.site.timeouts.request), on_recycle)
        self._begun = self._lines.begun  # looking it up each time would be measurable
        self._queue_limit = site.limits.queue
        self._first_look = min(deadline_after(site.timeouts.request), deadline_after(site.log.slow))
        self._alarm = context.alarm
        self.connections = connections
        self._complete = connections.complete
        self._pool = pool
        self._baton = pool.baton
        self._acceptor = acceptor
        self._admission = admission
        self._ending = ending
        self.health = HealthChecks(context, ending)
        self._checks = self.health.paths
        self._bulk = bulk
        self._on_recycle = on_recycle
        self._last_request = requests.max + randint(0, requests.most_extra) if requests.max else 0
        self._requests = count(1)

    # Who owns a connection, and what follows.

    def attend(self, connection: Connection, thread: WorkerThread, step: Step) -> None:
        """Take a step with a connection that this thread owns, and follow it up."""
        thread.attended = connection
        if step is _RUN:
            following = self._run_or_queue(connection, thread)
        elif step is _ATTEND:
            following = self._go_on(connection)
        elif step is _LEAVE:
            following = self._leave(connection, thread)
        elif step is _QUEUE:
            following = self._run_queued(connection, thread)
        else:
            following = self._shake_hands(connection)
        thread.attended = None
        self.follow(connection, following, thread.has_baton)

    def follow(self, connection: Connection, step: Step, polling: bool) -> None:
        """Put a connection into the queue for its next step, or let it go.

        If something has happened to it meanwhile, it joins the end of the ready queue. The polling thread
        takes it from there, so that a busy client holds no thread; if that is not the caller, wake it.
        """
        connections = self.connections
        if step is _RUN:
            self._complete.append(connection)
        elif step is _LEAVE:
            connections.leaving.append(connection)
        elif step is _QUEUE:
            connections.queue.put(connection, connections.now)
            self.tell_queue()
        elif step is Step.SHAKE_HANDS:
            connections.handshakes.append(connection)
        elif step is _ATTEND or (step is _REST and connection.let_go()):
            connections.ready.append(connection)
            if not polling:
                self._alarm.wake()

    def run_queued(self, thread: WorkerThread) -> bool:
        """Run the request that is next, if one waits and there is a thread for it."""
        queue, pool = self.connections.queue, self._pool
        while queue.size:
            now = time.monotonic_ns()
            if not pool.permit():
                queue.lack(now)
                return False
            connection = queue.take(pool.free == 0, now)
            if connection is not None:
                if thread.has_baton:
                    self.take(1)
                self.tell_queue()
                self.attend(connection, thread, _QUEUE)
                return True
            pool.give_back()
            if queue.size:  # but none may run yet
                if not thread.has_baton:
                    self._alarm.wake()  # the poller has to look in time
                return False
        return False

    def take(self, count: int) -> None:
        """The thread with the baton takes up so many more requests, before it shows that they are counted."""
        self.connections.taken += count
        self._context.board.set("taken", self.connections.taken)

    def tell_queue(self) -> None:
        """A connection has come into the queue, or has left it."""
        queue, board = self.connections.queue, self._context.board
        board.set("queued", queue.size)
        board.set("waiting_since", queue.since)

    def recover(self, thread: WorkerThread) -> None:
        """After an error in the server itself: free the thread of its request, and end the connection."""
        self._baton.after(thread, 0, 0)
        connection, in_request = thread.attended, thread.connection is not None
        thread.attended = thread.connection = None
        if in_request:
            try:
                thread.token.pop()
            except IndexError:
                thread.written_off = True  # by deadlines.py, which ended the request and connection
                return
            self._ending.count_failed(connection, thread.record)
            self._pool.give_back()
            if connection is not None and connection.sender.outbox.bulky:
                connection.sender.outbox.end_bulk("", self.connections.now)
        thread.record.end()
        if connection is not None and connection.state is not State.CLOSED:
            self._ending.close(connection)

    # What a client sends.

    def _go_on(self, connection: Connection) -> Step:
        """Something has happened to it; the state tells what."""
        connection.called = False
        state = connection.state
        if state is _SENDING:
            return self._send_on(connection)
        if state is _LINGERING:
            return self._ending.discard(connection)
        if connection.parser.requests:
            connection.called = True  # the event may have been for bytes after these requests
            return _RUN
        if state is _PROXY:
            return self._admission.introduce(connection, self.connections.now)
        return self._parse_on(connection) if connection.parser.behind else self._read(connection)

    def _read(self, connection: Connection) -> Step:
        size = BODY_SIZE if connection.state is _BODY else HEAD_SIZE
        try:
            data = connection.sock.recv(size)
        except BlockingIOError:
            return _REST
        except OSError:
            return self._ending.lose(connection)
        if not data:
            return self._ending.lose(connection)
        if len(data) == size or connection.ended:
            connection.called = True  # the edge was for these bytes and any that follow
        tls = connection.sender.tls
        if tls is not None:
            return self._decrypt(connection, tls, data)
        connection.parser.feed(data)
        return self._parsed(connection)

    def _decrypt(self, connection: Connection, tls: Tls, data: bytes) -> Step:
        if connection.state is State.HANDSHAKE:
            return self._await_handshake(connection, tls, data)
        try:
            data = connection.sender.decrypt(tls, data)
        except OSError as error:
            self._ending.tell_lost(connection, f"TLS failed ({error})")
            return self._ending.hang_up(
                connection, self.connections.now
            )  # not by a reset, which could lose the alert
        if not data:
            return _REST
        connection.parser.feed(data)
        return self._parsed(connection)

    def _parse_on(self, connection: Connection) -> Step:
        """Others have had their turn."""
        connection.called = True  # the event may have been for bytes after these
        connection.parser.go_on()
        return self._parsed(connection)

    def _parsed(self, connection: Connection) -> Step:
        """What follows upon the bytes that have just been parsed."""
        if not connection.parser.requests:
            return self._await_rest(connection)
        connection.arrived = self.connections.now
        return _RUN

    def _await_rest(self, connection: Connection) -> Step:
        """No request is complete: set the deadline for the rest, unless it is running already."""
        parser, now = connection.parser, self.connections.now
        if parser.error is not None:
            return self._ending.refuse(connection, parser.error, now)
        if parser.behind:
            connection.called = True
        if parser.phase is Phase.HEAD and connection.state is not State.HEAD:
            connection.become(Event.HEAD, now)
        elif parser.phase is Phase.BODY and connection.state is not _BODY:
            if parser.wants_continue():
                try:
                    connection.sender.send(_CONTINUE)
                except ClientGone:
                    return self._ending.lose(connection)
            connection.mark = 0
            connection.become(Event.BODY, now)
        return _REST

    # TLS handshakes, one step at a time.

    def _await_handshake(self, connection: Connection, tls: Tls, data: bytes) -> Step:
        """A step costs as much as many requests (an RSA signature some 0.7 ms), so connections that need one
        are not in the ready queue, all of which is read before anything else is done. The polling thread
        takes one step between two polls: a thousand clients that arrive at once delay the others by one step.
        """
        try:
            tls.feed(data)
        except HttpError as error:
            connection.sender.stay_plain()
            connection.parser.feed(data)  # its request, for the answer and the access log
            return self._ending.refuse(connection, error, self.connections.now)
        return Step.SHAKE_HANDS

    def _shake_hands(self, connection: Connection) -> Step:
        tls, now = connection.sender.tls, self.connections.now
        assert tls is not None
        if connection.deadline <= now or (connection.ended and not tls.begun):
            # It has waited too long, or left: save the work.
            return self._ending.close(connection)
        try:
            behind = connection.sender.shake_hands(tls)
        except OSError as error:
            remote = connection.remote or "unix"
            self._context.errors.debug("handshake failed", remote=remote, reason=str(error))
            return self._ending.hang_up(connection, now)
        if behind is None:
            return _REST
        if behind:
            connection.parser.feed(behind)
            connection.arrived = now
        return self._sent(connection, now)

    # The application.

    def _run_or_queue(self, connection: Connection, thread: WorkerThread) -> Step:
        queue, now = self.connections.queue, self.connections.now
        if self._checks and self.health.is_asked(connection):
            return self.health.answer(connection, now) or self._sent(connection, now)
        plenty = not queue.size and queue.tight_until <= now and not self._bulk.crowded
        at_once = not self._queue_limit
        if (plenty or at_once) and self._pool.permit(at_once):
            return self._run(connection, thread)
        if queue.size >= self._queue_limit:
            return self._ending.refuse(connection, _QUEUE_FULL, now)
        connection.become(Event.QUEUE, now)
        return _QUEUE

    def _run_queued(self, connection: Connection, thread: WorkerThread) -> Step:
        """Run a request from the queue; a permit has been taken for it."""
        if connection.sender.gone:
            self._pool.give_back()
            return self._ending.drop(connection)
        return self._run(connection, thread)

    def _run(self, connection: Connection, thread: WorkerThread) -> Step:
        """Run the application for the first complete request; a permit has been taken."""
        request = connection.parser.pop()
        now = time.monotonic_ns()
        exchange = self._begin(connection, thread, request, now)
        if thread.has_baton:
            cpu = self._baton.before(thread)
            exchange.answer()
            done = time.monotonic_ns()
            self._baton.after(thread, done - now, cpu)
        else:
            exchange.answer()
            done = time.monotonic_ns()
        if self._begun:
            self._lines.end_request()
        if connection.sender.outbox.bulky:
            self.end_bulk(connection, request)
        try:
            thread.token.pop()
        except IndexError:
            thread.written_off = True  # by deadlines.py, which ended the request in our place
            return _END
        self.connections.queue.saw(request, done - now, done)
        thread.connection = None
        self._give_back_permit()
        connection.answered = done
        if connection.sender.state is _HELD and thread.has_baton and not exchange.broken:
            return _LEAVE
        following = self._leave(connection, thread)
        if not thread.has_baton or not self.connections.taken:
            thread.record.show_all()
        thread.record.end()
        return following

    def _begin(self, connection: Connection, thread: WorkerThread, request: Request, now: int) -> Exchange:
        sender = connection.sender
        connection.state = NEXT[connection.state][_RUNNING]
        connection.deadline = NEVER
        sender.begin(thread.lease if self._complete else NO_LEASE)
        if self._bulk.known and self._bulk.expects(kind_of(request), now):
            sender.outbox.be_bulky()
        if self.lost.threads:
            request.environ["wsgi.multithread"] = True
        connection.exchange = exchange = Exchange(self._gateway, request, sender, now)
        exchange.arrived = connection.arrived
        thread.connection = connection
        thread.deadline = deadline = now + self._first_look
        if deadline < self._alarm.due:
            self._alarm.no_later_than(deadline)
        thread.token.append(None)
        thread.record.begin(now, request.method.encode(), request.target, request.id.encode())
        return exchange

    def end_bulk(self, connection: Connection, request: Request) -> None:
        """The application is done with a request, or the request ended without it."""
        connection.sender.outbox.end_bulk(kind_of(request), self.connections.now)

    def _give_back_permit(self) -> None:
        self._pool.give_back()
        if self._acceptor.away:
            self._acceptor.freed()
        if self._last_request and next(self._requests) == self._last_request:
            self._on_recycle(Recycle("requests"))

    # What a client is sent.

    def _leave(self, connection: Connection, thread: WorkerThread) -> Step:
        """The application is done with the request; is the client done too?"""
        exchange, sender, now = connection.exchange, connection.sender, connection.answered
        assert exchange is not None
        if sender.state is _HELD:
            sender.release()
        connection.exchange = None
        if exchange.broken or sender.state is _CUT:
            following = self._ending.break_off(connection, exchange, now)
        elif sender.outbox.size:
            following = self._ending.leave_to_poller(connection, exchange, now)
        else:
            if self._access is not None:
                self._access.log(exchange.entry(connection.remote, now))
            elif self._sampled:
                self._ending.log_sampled(connection, exchange, now)
            if not exchange.keep_alive:
                connection.expect_end(exchange)
            app, took = now - exchange.began, now - connection.arrived
            thread.record.count(exchange.status, exchange.request.counted_as, exchange.sent, app, took)
            if self._by_path is not None:
                self._by_path.count(exchange.request, exchange.status, app, took)
            following = self._sent(connection, now)
        exchange.request.environ = _FORGOTTEN
        return following

    def _sent(self, connection: Connection, now: int) -> Step:
        """The client has taken all of a response."""
        if connection.follows is not _RESTING:
            return self._ending.hang_up(connection, now)
        connection.become(_RESTING, now)
        parser = connection.parser
        if parser.requests:
            return _ATTEND  # when others have had their turn
        if parser.phase is not _BETWEEN or parser.error is not None:
            return self._await_rest(connection)
        return _REST

    def _send_on(self, connection: Connection) -> Step:
        sender = connection.sender
        sender.flush()
        if sender.gone:
            return self._ending.close(connection)
        if sender.outbox.size:
            return _REST
        connection.called = True  # the event may have been for bytes that the client has sent meanwhile
        self._ending.log_late(connection)
        return self._sent(connection, self.connections.now)
