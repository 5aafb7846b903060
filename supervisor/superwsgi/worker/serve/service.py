"""What happens with a connection while it lives: run the application, answer, keep sending.

`attend` is the one place where a thread takes a connection, does a step with it and lets it go. A step
returns what is to be done next with the connection, a Step. admission.py has how a connection begins,
receiving.py what its client sends, ending.py how it ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from random import randint
from typing import Final

from superwsgi.apps.types import Environ
from superwsgi.http.request.head import Request
from superwsgi.http.response.exchange import Exchange
from superwsgi.messages import Recycle
from superwsgi.worker.connection.alarm import NEVER, SECOND, deadline_after
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.delivery import NO_LEASE
from superwsgi.worker.connection.states import NEXT, Event, Sending, State
from superwsgi.worker.connection.storage import Bulk
from superwsgi.worker.memory.watch import MemoryWatch
from superwsgi.worker.queue.expectations import kind_of
from superwsgi.worker.queue.gates import gates_of
from superwsgi.worker.queue.quarantine import RefusedKinds
from superwsgi.worker.queue.told import tell_queue
from superwsgi.worker.serve.acceptor import Acceptor
from superwsgi.worker.serve.admission import Admission
from superwsgi.worker.serve.connections import Connections, Step
from superwsgi.worker.serve.context import Context
from superwsgi.worker.serve.ending import Ending
from superwsgi.worker.serve.health import HealthChecks
from superwsgi.worker.serve.receiving import Receiving
from superwsgi.worker.serve.upgraded.takeovers import FULL, Takeovers
from superwsgi.worker.threads.lost import LostThreads
from superwsgi.worker.threads.pool import Pool
from superwsgi.worker.threads.thread import WorkerThread

_PROXY: Final = State.PROXY
_SENDING: Final = State.SENDING
_LINGERING: Final = State.LINGERING
_QUEUED: Final = State.QUEUED
_UPGRADED: Final = State.UPGRADED
_RUNNING: Final = Event.RUN
_HELD: Final = Sending.HELD
_CUT: Final = Sending.CUT
_ATTEND: Final = Step.ATTEND
_RUN: Final = Step.RUN
_QUEUE: Final = Step.QUEUE
_SHED: Final = Step.SHED
_LEAVE: Final = Step.LEAVE
_REST: Final = Step.REST
_END: Final = Step.END

_FORGOTTEN: Final[Environ] = {}
"""Replaces an answered request's environ: what the application put there must not outlive the request."""

_SHOWN: Final = SECOND // 1000
"""The shortest time in the queue, in ns, that applications are told of: most requests have none."""


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
        self._by_kind = context.by_kind
        self._by_path = context.by_path
        self._lines = context.errors.lines
        self.lost = LostThreads(deadline_after(context.site.timeouts.request), on_recycle)
        self._begun = self._lines.begun  # looking it up each time would be measurable, as the clock
        self._clock: Callable[[], int] = time.monotonic_ns
        self._queue_limit = site.limits.queue
        self._queue_age = deadline_after(site.limits.queue_age)
        self._first_look = min(deadline_after(site.timeouts.request), deadline_after(site.log.slow))
        self._alarm = context.alarm
        self.connections = connections
        self._complete = connections.complete
        self._queue = connections.queue
        self._pool, self._baton = pool, pool.baton
        pool.queue_age = self._queue_age
        self._hands_over = pool.hands_over
        self._acceptor, self._admission, self._ending = acceptor, admission, ending
        self._receiving = Receiving(context, connections, ending)
        self.health = HealthChecks(context, ending)
        self._checks = self.health.paths
        self.takeovers = Takeovers(context, connections, ending, pool, self._relieve, self.follow)
        self.quarantine = RefusedKinds(lambda: context.board.add("quarantined", 1))
        self._bulk = bulk
        self._on_recycle = on_recycle
        self.memory = MemoryWatch(pool)
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
        elif step is _SHED:
            following = self._shed(connection, 0)
        else:
            following = self._receiving.shake_hands(connection)
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
            self._shed_refused(thread)
            pool.limit(queue.sheds_until > now, queue.since, now)
            if not pool.permit():
                queue.lack(now)
                return False
            connection = queue.take(pool.free == 0, now)
            self._shed_refused(thread)
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

    def _shed_refused(self, thread: WorkerThread) -> None:
        """Answer those that have waited in the queue in vain."""
        refused = self._queue.refused
        while refused:
            try:
                connection = refused.popleft()
            except IndexError:  # another thread has it
                return
            self.tell_queue()
            self.attend(connection, thread, _SHED)

    def take(self, count: int) -> None:
        """The thread with the baton takes up so many more requests, before it shows that they are counted."""
        self.connections.taken += count
        self._context.board.set("taken", self.connections.taken)

    def drop_queued(self, connection: Connection) -> None:
        """The client has gone, perhaps while its request waits: then nobody has to answer it."""
        if self._queue.remove(connection):
            self.tell_queue()
            self.follow(connection, self._ending.drop(connection), True)

    def tell_queue(self) -> None:
        tell_queue(self.connections.queue, self._context.board)

    def recover(self, thread: WorkerThread) -> None:
        """After an error in the server itself: free the thread of its request, and end the connection."""
        self._baton.after(thread, 0, 0)
        self.leave_gates(thread, going=True)
        connection, in_request = thread.attended, thread.connection is not None
        thread.attended = thread.connection = None
        if in_request:
            try:
                thread.token.pop()
            except IndexError:
                thread.written_off = True  # by deadlines.py, which ended the request and connection
                return
            self._ending.count_failed(connection, thread.counts)
            self._pool.give_back()
            if connection is not None and connection.sender.outbox.bulky:
                connection.sender.outbox.end_bulk("", self.connections.now)
        thread.record.end()
        if connection is not None and connection.state is not State.CLOSED:
            self._ending.close(connection)

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
        if state is _UPGRADED:
            return self.takeovers.go_on(connection)
        parser = connection.parser
        return self._receiving.parse_on(connection) if parser.behind else self._receiving.read(connection)

    # The application.

    def _run_or_queue(self, connection: Connection, thread: WorkerThread) -> Step:
        queue, now = self.connections.queue, self.connections.now
        if self._checks and self.health.is_asked(connection):
            return self.health.answer(connection, now) or self._receiving.go_on(connection, now)
        request = connection.parser.requests[0]
        if self.quarantine.kinds and (refusal := self.quarantine.refusal(request, now)) is not None:
            return self._ending.refuse(connection, refusal, now)
        plenty = not queue.size and queue.tight_until <= now and not self._bulk.crowded
        at_once = not self._queue_limit
        if (plenty or at_once) and self._enter(request, thread):
            if self._pool.permit(at_once):
                return self._run(connection, thread)
            self.leave_gates(thread)
        full = queue.full(request, self._queue_limit)
        if full is not None:
            return self._ending.refuse(connection, full, now)
        if queue.sheds_until > now and (after := queue.refuses(request, now)):
            return self._shed(connection, after)
        if connection.sender.gone:
            return self._ending.drop(connection)
        connection.become(Event.QUEUE, now)
        return _QUEUE

    def _run_queued(self, connection: Connection, thread: WorkerThread) -> Step:
        """Run a request from the queue; a permit has been taken for it, and it has passed its gates."""
        request, now = connection.parser.requests[0], self.connections.now
        thread.gates = gates_of(request)
        if connection.sender.gone:
            self._step_back(thread)
            return self._ending.drop(connection)
        if self.quarantine.kinds and (refusal := self.quarantine.refusal(request, now)) is not None:
            self._step_back(thread)
            return self._ending.refuse(connection, refusal, now)
        return self._run(connection, thread)

    def _enter(self, request: Request, thread: WorkerThread) -> bool:
        """Pass the gates of its rule, if it has any and there is room."""
        if request.rule is None or not request.rule.gates:
            return True
        if not self.connections.queue.enter(request.rule.gates):
            return False
        thread.gates = request.rule.gates
        return True

    def leave_gates(self, thread: WorkerThread, *, going: bool = False) -> None:
        """Its request has left the application. This thread looks for those that have waited for that, unless
        it is `going`."""
        gates, thread.gates = thread.gates, ()
        if gates:
            others = self.connections.queue.leave(gates)
            self.tell_queue()
            if others and going:
                self._alarm.wake()

    def _step_back(self, thread: WorkerThread) -> None:
        """It had its permit, and does not run after all."""
        self._pool.give_back()
        self.leave_gates(thread)

    def _run(self, connection: Connection, thread: WorkerThread) -> Step:
        """Run the application for the first complete request; a permit has been taken."""
        if self._hands_over and thread.has_baton:
            thread.gates = ()
            self._pool.hand(connection)
            return _END
        now = self._clock()
        if now - connection.arrived >= self._queue_age:
            if connection.state is not _QUEUED and self._comes_too_late(now):
                self._step_back(thread)
                return self._shed(connection, 0)
        elif self._queue.late:
            self._queue.begins_in_time(now)
        if connection.parser.requests[0].upgrade and not self.takeovers.reserve():
            self._step_back(thread)
            return self._ending.refuse(connection, FULL, now)
        request = connection.parser.pop()
        exchange = self._begin(connection, thread, request, now)
        if request.upgrade:
            self.takeovers.offer(connection, thread, exchange)
        if thread.has_baton:
            cpu = self._baton.before(thread, request)
            exchange.answer()
            self.connections.done = done = self._clock()
            self._baton.after(thread, done - now, cpu)
        else:
            exchange.answer()
            done = self._clock()
        return self._come_back(connection, thread, exchange, done)

    def _come_back(self, connection: Connection, thread: WorkerThread, exchange: Exchange, done: int) -> Step:
        """The application was `done` with its first request then."""
        request = exchange.request
        if self._begun:
            self._lines.end_request()
        if connection.sender.outbox.bulky:
            connection.sender.outbox.end_bulk(kind_of(request), self.connections.now)
        if request.upgrade and self.takeovers.settle(connection, thread):
            return _END
        try:
            thread.token.pop()
        except IndexError:
            thread.written_off = True  # by deadlines.py, which ended the request in our place
            if not thread.left:
                self.leave_gates(thread, going=True)
            return _END
        thread.connection = None
        self._pool.give_back()
        self._permit_is_back()
        if thread.gates:
            self.leave_gates(thread)
        self.connections.queue.saw(request, done - exchange.began, done)
        if self.memory.counts:
            self.memory.ended(request, done)
        connection.answered = done
        if connection.sender.state is _HELD and thread.has_baton and not exchange.broken:
            return _LEAVE
        following = self._leave(connection, thread)
        if not self._hands_over and not (thread.has_baton and self.connections.taken):
            thread.counts.show_all()
        thread.record.end()
        return following

    def _comes_too_late(self, now: int) -> bool:
        """Whether a request is refused that is late, because all had to be run one after another."""
        others = self._complete or self.connections.ready or self._queue.size
        return self._queue.refuses_late(now, bool(others))

    def _shed(self, connection: Connection, after: int) -> Step:
        """Refuse a request that could not be answered in time; 0: `after` as long as others would take."""
        now = time.monotonic_ns()
        after = after or self._queue.advice(connection.parser.requests[0], now)
        return self._ending.shed(connection, after, now) or self._receiving.go_on(connection, now)

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
        exchange.arrived = arrived = connection.arrived
        if request.before:  # not what its body took to arrive
            exchange.arrived = arrived = max(arrived, request.read) - request.before
        if now - arrived >= _SHOWN:
            request.environ["superwsgi.queue_time"] = (now - arrived) / SECOND
        thread.connection = connection
        rule = request.rule
        thread.deadline = deadline = now + (self._first_look if rule is None else rule.first_look)
        if deadline < self._alarm.due:
            self._alarm.no_later_than(deadline)
        thread.token.append(exchange)
        thread.record.begin(now, request.method, request.origin, request.id)
        return exchange

    def _relieve(self, thread: WorkerThread) -> None:
        """Its request has taken it out of the pool; another thread is in its place."""
        self.leave_gates(thread, going=True)
        self._permit_is_back()
        self._alarm.wake()

    def _permit_is_back(self) -> None:
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
                self._ending.log_sampled(connection, exchange, now, now - connection.arrived)
            if not exchange.keep_alive:
                connection.expect_end(exchange)
            app, took = now - exchange.began, now - connection.arrived
            thread.counts.count(exchange.status, exchange.request.counted_as, exchange.sent, app, took)
            self._by_kind.count(exchange.request, exchange.status, now)
            if self._by_path is not None:
                self._by_path.count(exchange.request, exchange.status, app, took)
            following = self._receiving.go_on(connection, now)
        exchange.request.environ = _FORGOTTEN
        return following

    def _send_on(self, connection: Connection) -> Step:
        sender = connection.sender
        sender.flush()
        if sender.cut_off:
            return self._ending.close(connection)
        if sender.outbox.size:
            return _REST
        connection.called = True  # the event may have been for bytes that the client has sent meanwhile
        self._ending.log_late(connection)
        return self._receiving.go_on(connection, self.connections.now)
