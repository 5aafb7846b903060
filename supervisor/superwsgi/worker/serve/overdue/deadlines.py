"""Deadlines: which have passed, and what happens then. Called by the polling thread when the alarm is due.

Times are monotonic ns.
"""

from __future__ import annotations

import time
from typing import Final

from superwsgi.http.errors import HttpError
from superwsgi.http.request.head import Request
from superwsgi.http.request.trace import described, named
from superwsgi.http.response.exchange import Exchange
from superwsgi.worker.connection.alarm import GRAIN, NEVER, SECOND, deadline_after
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.sender import CLIENT_TOO_SLOW, Sender, fast_enough
from superwsgi.worker.connection.states import State
from superwsgi.worker.connection.storage import Blocks
from superwsgi.worker.queue.expectations import kind_of
from superwsgi.worker.queue.gates import closed, gates_of
from superwsgi.worker.serve.connections import Step
from superwsgi.worker.serve.context import Context
from superwsgi.worker.serve.ending import Ending
from superwsgi.worker.serve.overdue.slow import SlowRequests
from superwsgi.worker.serve.service import Service
from superwsgi.worker.threads.left import LeftStreams
from superwsgi.worker.threads.pool import Pool
from superwsgi.worker.threads.thread import WorkerThread

AT_ONCE: Final = 32
"""So many requests are ended in one look, and others in the next, between which all else goes on: each takes
half a millisecond, for its stack and its line in the log, and thousands may be due together."""

_SILENT: Final = frozenset({State.NEW, State.IDLE})

_TOO_SLOW: Final = {
    State.HEAD: HttpError(408, "head took longer than timeouts.head"),
    State.BODY: HttpError(408, "body slower than timeouts.body allows"),
}


_LEFT: Final = "its client has left, and the application waits for something to tell it"
_ANOTHER: Final = "another thread takes its place; this one ends when the application goes on"

_NO_THREAD: Final = HttpError(503, "no free thread within timeouts.queue")


class Deadlines:
    def __init__(
        self, context: Context, service: Service, ending: Ending, pool: Pool, blocks: Blocks
    ) -> None:
        timeouts = context.site.timeouts
        self._errors = context.errors
        self._gateway = context.gateway
        self._board = context.board
        self._waits = context.waits
        self._patience = deadline_after(timeouts.send)
        self._timeout = deadline_after(timeouts.request)
        self._slow = SlowRequests(context.errors, context.site)
        self.left = LeftStreams(context.alarm)
        self._most_left = context.site.most_threads
        self._service = service
        self._connections = service.connections
        self._ending = ending
        self._pool = pool
        self._blocks = blocks

    def look(self, now: int) -> int:
        """End whatever is overdue; returns when to look again."""
        soonest, ended = NEVER, 0
        for connection in list(self._connections.open.values()):
            sender = connection.sender
            if sender.deadline <= now:
                self._sender_overdue(connection, sender, now)
            if connection.deadline <= now:
                self._connection_overdue(connection, now)
            soonest = min(soonest, connection.deadline, sender.deadline)
        for thread in self._pool:
            if thread.token:
                if thread.deadline <= now and ended < AT_ONCE:
                    ended += self._look_at_thread(thread, now)
                soonest = min(soonest, thread.deadline)
        for thread, exchange in self.left.look(self._pool, now):
            self._leave_behind(thread, exchange, now)
        lost = self._service.lost
        soonest = min(soonest, self.left.due)
        soonest = min(soonest, self._slow.tell(now), lost.look(now), self._pool.shrink(now))
        soonest = min(soonest, self._ending.tell_shed(now), self._blocks.look(now))
        self._board.set("abandoned", len(lost.threads) - lost.left)
        self._board.set("left", lost.left)
        if ended >= AT_ONCE:
            return now
        return soonest if soonest >= NEVER else max(soonest, now + GRAIN)

    def end(self) -> None:
        """The worker ends, whatever is in hand: nobody will look again."""
        self._slow.tell_rest()
        now, each = time.monotonic_ns(), list(self._connections.open.values())
        broken = sum([self._ending.close_at_once(connection, now) for connection in each])
        if broken:
            so = "connections closed; their clients see that these are incomplete"
            self._errors.info("responses broken off", times=broken, reason="worker ends", next=so)

    # Clients.

    def _sender_overdue(self, connection: Connection, sender: Sender, now: int) -> None:
        """A client takes its response too slowly: the connection's owner learns of it. An application that
        streams learns of it when it goes on."""
        before, sender.mark = sender.mark, sender.outbox.sent
        if fast_enough(sender.mark - before, self._patience):
            sender.deadline = now + self._patience
        else:
            sender.cut(CLIENT_TOO_SLOW, reset=True)
            self.left.note(connection)
            self._connections.call(connection)

    def _connection_overdue(self, connection: Connection, now: int) -> None:
        if connection.state is State.QUEUED:
            # Removing it from the queue makes its owner: us, or a thread that has just become free.
            if not self._connections.queue.remove(connection):
                return
            self._service.tell_queue()
            self._service.follow(connection, self._expire(connection, now), True)
        elif connection.take():
            still = connection.deadline <= now
            self._service.follow(connection, self._expire(connection, now) if still else Step.REST, True)

    def _expire(self, connection: Connection, now: int) -> Step:
        """Do what follows when the deadline of a state passes."""
        state = connection.state
        if state is State.BODY and self._comes_fast_enough(connection, now):
            return Step.REST
        if state in _SILENT and connection.has_spoken():
            return Step.ATTEND  # something arrived at the last moment
        if state is State.UPGRADED:
            return self._service.takeovers.look(connection, now)
        if state is State.PROXY:
            return self._ending.turn_away(connection, "no PROXY protocol header within timeouts.proxy")
        if state is State.QUEUED:
            return self._ending.refuse(connection, _lacked(connection.parser.requests[0]), now)
        if state in _TOO_SLOW:
            return self._ending.refuse(connection, _TOO_SLOW[state], now)
        return self._ending.close(connection)

    def _comes_fast_enough(self, connection: Connection, now: int) -> bool:
        before, connection.mark = connection.mark, connection.parser.received
        period = self._waits[State.BODY]
        if not fast_enough(connection.mark - before, period):
            return False
        connection.deadline = now + period
        return True

    # The application.

    def _look_at_thread(self, thread: WorkerThread, now: int) -> bool:
        """How long has the application given no sign of life? That it waits for its client is the client's
        doing, who has a deadline of his own. Whether its request was ended."""
        connection = thread.connection
        exchange = connection.exchange if connection is not None else None
        if connection is None or exchange is None:
            return False  # it has just come back
        sender = connection.sender
        if sender.outbox.full:
            sender.spoke = now
        since, rule = max(sender.spoke, exchange.began), exchange.request.rule
        timeout = self._timeout if rule is None else rule.request
        if since + timeout <= now:
            self._write_off(thread, connection, exchange, now)
            return True
        thread.deadline = since + min(timeout, self._slow.note(thread, exchange, now - since, now))
        return False

    def _write_off(self, thread: WorkerThread, connection: Connection, exchange: Exchange, now: int) -> None:
        try:
            thread.token.remove(exchange)
        except ValueError:
            return  # it has just come back, and may have the next one in hand
        connection.exchange = None
        request = exchange.request
        thread.abandoned = named(request)
        self._errors.error(
            "request stuck",
            thread.stack(),
            **described(request),
            seconds=round((now - exchange.began) / SECOND, 1),
            **({} if request.rule is None else {"limit": request.rule.request_key}),
            **({"sent": exchange.sent} if exchange.sent else {}),
            next=self._pool.replaced,
        )
        self._service.lost.add(thread, request, exchange.began, now)
        self._replace(thread, connection, exchange, now)
        self._service.follow(connection, self._ending.abandon(connection, exchange, now), True)
        thread.end_request()

    def _leave_behind(self, thread: WorkerThread, exchange: Exchange, now: int) -> None:
        """The application waits for something to tell a client that has left. As many may do so in vain as
        may have a request in hand; or more in a worker that is about to end."""
        if self._service.lost.left >= self._most_left and not self._gateway.closing:
            self._service.lost.are_too_many(now)
            return
        thread.left = True  # before it can find out that it was given up
        connection = thread.connection
        try:
            thread.token.remove(exchange)
        except ValueError:
            thread.left = False  # it has just come back
            return
        assert connection is not None
        connection.exchange = None
        request, rule = exchange.request, exchange.request.rule
        thread.abandoned = named(request)
        overdue = max(connection.sender.spoke, exchange.began) + (
            self._timeout if rule is None else rule.request
        )
        self._service.lost.add_left(thread, request, exchange.began, overdue, now)
        self._replace(thread, connection, exchange, now)
        self._service.leave_gates(thread, going=True)
        self._errors.info("thread given up", **described(request), reason=_LEFT, next=_ANOTHER)
        self._service.follow(connection, self._ending.break_off(connection, exchange, now), True)
        thread.end_request()

    def _replace(self, thread: WorkerThread, connection: Connection, exchange: Exchange, now: int) -> None:
        request = exchange.request
        connection.sender.outbox.end_bulk(kind_of(request), self._connections.now)
        self._connections.queue.learn(request, now - exchange.began, now)
        thread.counts.show_all()  # it does not come back to that: its record is another thread's now
        thread.record.end()
        self._pool.replace(thread)


def _lacked(request: Request) -> HttpError:
    """What a request that has waited for too long has waited for."""
    gate = closed(gates_of(request))
    if gate is None:
        return _NO_THREAD
    allows = f"{gate.key} ({gate.most})"
    return HttpError(503, f"as many as {allows} allows ran for timeouts.queue: raise one of them")
