"""Connections that the application takes over, for WebSocket or another protocol.

The first use of the socket in the environ makes the connection the application's, and takes its thread out of
the pool, which gets another one: so `threads` are left for pages. From then on nothing is read as HTTP, no
deadline runs, and what the application returns is for nobody. Through its passage (passage.py) bytes go both
ways; it has ended once the application has returned, and all has arrived.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from socket import socket
from typing import Final

from superwsgi.http.errors import ClientGone, HttpError
from superwsgi.http.request.trace import described
from superwsgi.http.response.exchange import CLIENT_CLOSED, Exchange
from superwsgi.worker.connection.alarm import NEVER, deadline_after
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.delivery import CLIENT_CLOSED as CLIENT_LEFT
from superwsgi.worker.connection.passage import Direct, Passage
from superwsgi.worker.connection.sender import CLIENT_TOO_SLOW, fast_enough
from superwsgi.worker.connection.states import Event
from superwsgi.worker.connection.tunnel import Tunnel
from superwsgi.worker.serve.connections import Connections, Step
from superwsgi.worker.serve.context import Context
from superwsgi.worker.serve.ending import Ending
from superwsgi.worker.serve.upgraded.offer import KEYS, SocketOffer
from superwsgi.worker.serve.upgraded.taken import taken_from
from superwsgi.worker.threads.pool import Pool
from superwsgi.worker.threads.thread import WorkerThread

FAREWELL: Final = 0.5
"""Seconds, after timeouts.graceful, that clients and applications have to part. The master waits for two in
all."""

_LAST_WORD: Final = 0.02
"""Seconds for what an application is just sending."""

FULL: Final = HttpError(503, "as many connections are upgraded as limits.upgraded allows: raise it")


class Serving:
    """The threads that have requests or upgraded connections, or could: whichever these are when it is gone
    through."""

    def __init__(self, pool: Pool, takeovers: Takeovers) -> None:
        self._pool = pool
        self._takeovers = takeovers

    def __iter__(self) -> Iterator[WorkerThread]:
        return iter([*self._pool, *self._takeovers.threads])


class Takeovers:
    """`relieve` is called when an upgraded connection has taken a thread out of the pool, and `on_change`
    whenever there is another number of them; `follow` is that of the service. Times are monotonic ns."""

    def __init__(
        self,
        context: Context,
        connections: Connections,
        ending: Ending,
        pool: Pool,
        relieve: Callable[[WorkerThread], None],
        follow: Callable[[Connection, Step, bool], None],
    ) -> None:
        self._context = context
        self._board = context.board
        self._connections = connections
        self._ending = ending
        self._pool = pool
        self._relieve = relieve
        self._follow = follow
        self._patience = deadline_after(context.site.timeouts.send)
        self._lock = threading.Lock()
        self._offers: dict[WorkerThread, SocketOffer] = {}
        self._upgraded: dict[Connection, WorkerThread] = {}
        self._reserved = 0
        self._records = context.board.upgraded()  # that are free
        self.on_change: Callable[[int], None] = lambda upgraded: None

    @property
    def threads(self) -> list[WorkerThread]:
        """Those that upgraded connections keep."""
        return list(self._upgraded.values())

    # Before the application.

    def reserve(self) -> bool:
        """Whether there is room for one more, which is then reserved; if not, its request is refused."""
        with self._lock:
            if self._reserved >= self._context.site.limits.upgraded:
                self._board.add("not_upgraded", 1)
                return False
            self._reserved += 1
            return True

    def offer(self, connection: Connection, thread: WorkerThread, exchange: Exchange) -> None:
        """Offer the connection to the application, which this thread is about to call. Others poll."""
        if thread.has_baton:
            self._pool.baton.give(thread)
        take = partial(self._take, connection, thread, exchange)
        self._offers[thread] = offer = SocketOffer(take)
        exchange.request.environ.update(dict.fromkeys(KEYS, offer))

    # In the application.

    def _take(self, connection: Connection, thread: WorkerThread, exchange: Exchange) -> socket:
        """The application takes the connection over, in whichever thread. Raises OSError if it cannot."""
        now = time.monotonic_ns()
        passage = self._passage(connection, now)
        try:
            thread.token.remove(exchange)
        except ValueError:  # it was written off
            passage.cancel()
            raise ConnectionAbortedError("the request has been ended: timeouts.request") from None
        if not exchange.hand_over():
            thread.token.append(exchange)
            passage.cancel()
            raise ConnectionAbortedError("the answer has begun")
        passage.begin()
        connection.passage = passage
        self._upgraded[connection] = thread
        if passage.fd >= 0:
            self._connections.tunnels[passage.fd] = connection
        self._board.add("upgraded", 1)
        self.on_change(len(self._upgraded))
        self._record(passage, thread, exchange)
        thread.counts.show_all()
        thread.record.end()
        self._pool.replace(thread)
        self._relieve(thread)
        connection.become(Event.UPGRADE, now)
        if isinstance(passage, Direct):
            connection.deadline = min(NEVER, now + self._patience)
            self._context.alarm.no_later_than(connection.deadline)
        self._follow(connection, Step.ATTEND, False)
        return passage.far

    def _passage(self, connection: Connection, now: int) -> Passage:
        """Raises OSError if there are no more descriptors."""
        sock, sender, epoll = connection.sock, connection.sender, self._context.epoll
        early = connection.parser.early
        ahead = None if early else sender.step_aside()
        if ahead is None:
            return Tunnel(self._pool.pair(), sock, sender, epoll, early, now)
        try:
            far = taken_from(sock)
        except OSError:
            sender.elsewhere = False
            raise
        far.passage = passage = Direct(sock, sender, epoll, far, ahead, now)
        return passage

    def _record(self, passage: Passage, thread: WorkerThread, exchange: Exchange) -> None:
        """The board has it in another place from now on."""
        request = exchange.request
        with self._lock:
            passage.record = record = self._records.pop() if self._records else None
        if record is not None:
            method, request_id = request.method.encode(), request.id.encode()
            record.begin(thread.ident, exchange.began, method, request.origin, request_id)

    # After the application.

    def settle(self, connection: Connection, thread: WorkerThread) -> bool:
        """The application has returned. Whether it has taken over the connection, and with it this thread."""
        self._offers.pop(thread).withdraw()
        passage = connection.passage
        if passage is None:
            with self._lock:
                self._reserved -= 1
            return False
        thread.written_off = True
        passage.end()
        self._connections.call(connection)
        self._context.alarm.wake()
        self._leave(connection, passage)
        return True

    def go_on(self, connection: Connection) -> Step:
        """Something has happened to an upgraded connection."""
        passage = connection.passage
        assert passage is not None
        if passage.carry(connection.ended):
            connection.called = True
        if not passage.done:
            return Step.REST
        self._connections.tunnels.pop(passage.fd, None)
        passage.close()
        self._leave(connection, passage)
        if passage.lost:
            return self._ending.close(connection)
        return self._ending.hang_up(connection, self._connections.now)

    def look(self, connection: Connection, now: int) -> Step:
        """Whether the client takes what its application sends it. The owner of the connection calls this
        every timeouts.send."""
        passage = connection.passage
        assert passage is not None
        sent = passage.stalls(now, self._patience)
        if sent >= 0 and not fast_enough(sent, self._patience):
            connection.sender.cut(CLIENT_TOO_SLOW, reset=True)
            connection.called = True
        connection.deadline = min(NEVER, now + self._patience)
        return Step.REST

    def _leave(self, connection: Connection, passage: Passage) -> None:
        """The application has returned, or all is carried: whichever comes last ends it."""
        with self._lock:
            passage.left -= 1
            last = not passage.left
        if last:
            passage.far.close()  # threads of a library that wait for it have been woken by its end
            self._forget(connection, passage)

    def _forget(self, connection: Connection, passage: Passage) -> None:
        """It has ended, unless that is known."""
        if self._upgraded.pop(connection, None) is None:
            return
        with self._lock:
            self._reserved -= 1
            if passage.record is not None:
                passage.record.end()
                self._records.append(passage.record)
        self._board.add("upgraded", -1)
        self.on_change(len(self._upgraded))
        self._board.add("upgrades", 1)
        self._tell(connection, passage)
        if self._context.gateway.closing:
            self._context.alarm.no_later_than(0)  # this may have been the last one

    def _tell(self, connection: Connection, passage: Passage) -> None:
        exchange, connection.exchange = connection.exchange, None
        assert exchange is not None
        exchange.status = passage.spoken.status or (CLIENT_CLOSED if passage.lost else 500)
        exchange.sent = max(0, passage.sent - connection.sender.unsent)
        if connection.sender.loss != CLIENT_LEFT:
            who = described(exchange.request)
            self._context.errors.info(
                connection.sender.loss, **who, sent=exchange.sent, next="connection closed"
            )
        self._ending.tell_upgraded(connection, exchange, passage.taken)
        exchange.request.environ = {}

    # The worker ends.

    def say_goodbye(self) -> bool:
        """Have all clients told that the server goes down, as far as their protocol can say that, or else
        their applications. False if there are none. Any thread."""
        upgraded = list(self._upgraded)
        for connection in upgraded:
            assert connection.passage is not None
            connection.passage.leaving = True
            self._connections.call(connection)
        self._context.alarm.wake()
        return bool(upgraded)

    def end(self) -> None:
        """Nothing is carried any more."""
        for connection in list(self._upgraded):
            passage = connection.passage
            assert passage is not None
            with suppress(ClientGone):
                passage.part(_LAST_WORD)
            if not passage.closed:
                self._connections.tunnels.pop(passage.fd, None)
                passage.close()
                passage.release()
                self._leave(connection, passage)
            self._forget(connection, passage)
