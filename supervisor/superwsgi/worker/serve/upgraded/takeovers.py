"""Connections that the application takes over, for WebSocket or another protocol.

The first use of the socket in the environ makes the connection the application's, and takes its thread out of
the pool, which gets another one: so `threads` are left for pages. From then on nothing is read as HTTP, no
deadline runs, and what the application returns is for nobody. The owner of the connection carries bytes
through its tunnel; it has ended once the application has returned, and all is carried.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from socket import socket
from typing import Final

from superwsgi.http.errors import ClientGone, HttpError
from superwsgi.http.response.exchange import CLIENT_CLOSED, Exchange
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.states import Event
from superwsgi.worker.connection.tunnel import Tunnel
from superwsgi.worker.serve.connections import Connections, Step
from superwsgi.worker.serve.context import Context
from superwsgi.worker.serve.ending import Ending
from superwsgi.worker.serve.upgraded.offer import KEYS, SocketOffer
from superwsgi.worker.threads.pool import Pool
from superwsgi.worker.threads.thread import WorkerThread

FAREWELL: Final = 0.5
"""Seconds, after timeouts.graceful, that clients and applications have to part. The master waits for two in
all."""

FULL: Final = HttpError(503, "as many connections are upgraded as limits.upgraded allows: raise it")


class Takeovers:
    """`relieve` is called when an upgraded connection has taken a thread out of the pool; `follow` is that of
    the service. Times are monotonic ns."""

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
        self._lock = threading.Lock()
        self._offers: dict[WorkerThread, SocketOffer] = {}
        self._upgraded: dict[Connection, WorkerThread] = {}
        self._reserved = 0
        self._records = context.board.upgraded()  # that are free

    @property
    def threads(self) -> list[WorkerThread]:
        """Those that upgraded connections keep."""
        return list(self._upgraded.values())

    # Before the application.

    def reserve(self) -> bool:
        """Whether there is room for one more, which is then reserved."""
        with self._lock:
            if self._reserved >= self._context.site.limits.upgraded:
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
        tunnel = Tunnel(connection.sock, connection.sender, self._context.epoll, connection.parser.early, now)
        try:
            thread.token.remove(exchange)
        except ValueError:  # it was written off
            tunnel.close_in_child()
            raise ConnectionAbortedError("the request has been ended: timeouts.request") from None
        if not exchange.hand_over():
            thread.token.append(exchange)
            tunnel.close_in_child()
            raise ConnectionAbortedError("the answer has begun")
        connection.tunnel = tunnel
        self._upgraded[connection] = thread
        self._connections.tunnels[tunnel.fd] = connection
        self._board.add("upgraded", 1)
        self._record(tunnel, thread, exchange)
        thread.counts.show_all()
        thread.record.end()
        self._pool.replace(thread)
        self._relieve(thread)
        connection.become(Event.UPGRADE, now)
        self._follow(connection, Step.ATTEND, False)
        return tunnel.far

    def _record(self, tunnel: Tunnel, thread: WorkerThread, exchange: Exchange) -> None:
        """The board has it in another place from now on."""
        request = exchange.request
        with self._lock:
            tunnel.record = record = self._records.pop() if self._records else None
        if record is not None:
            method, request_id = request.method.encode(), request.id.encode()
            record.begin(thread.ident, exchange.began, method, request.origin, request_id)

    # After the application.

    def settle(self, connection: Connection, thread: WorkerThread) -> bool:
        """The application has returned. Whether it has taken over the connection, and with it this thread."""
        self._offers.pop(thread).withdraw()
        tunnel = connection.tunnel
        if tunnel is None:
            with self._lock:
                self._reserved -= 1
            return False
        thread.written_off = True
        tunnel.end()
        self._connections.call(connection)
        self._context.alarm.wake()
        self._leave(connection, tunnel)
        return True

    def go_on(self, connection: Connection) -> Step:
        """Something has happened to an upgraded connection."""
        tunnel = connection.tunnel
        assert tunnel is not None
        if tunnel.carry(connection.ended):
            connection.called = True
        if not tunnel.done:
            return Step.REST
        del self._connections.tunnels[tunnel.fd]
        tunnel.close()
        self._leave(connection, tunnel)
        if tunnel.lost:
            return self._ending.close(connection)
        return self._ending.hang_up(connection, self._connections.now)

    def _leave(self, connection: Connection, tunnel: Tunnel) -> None:
        """The application has returned, or all is carried: whichever comes last ends it."""
        with self._lock:
            tunnel.left -= 1
            last = not tunnel.left
        if last:
            tunnel.far.close()  # threads of a library that wait for it have been woken by its end
            self._forget(connection, tunnel)

    def _forget(self, connection: Connection, tunnel: Tunnel) -> None:
        """It has ended, unless that is known."""
        if self._upgraded.pop(connection, None) is None:
            return
        with self._lock:
            self._reserved -= 1
            if tunnel.record is not None:
                tunnel.record.end()
                self._records.append(tunnel.record)
        self._board.add("upgraded", -1)
        self._board.add("upgrades", 1)
        self._tell(connection, tunnel)
        if self._context.gateway.closing:
            self._context.alarm.no_later_than(0)  # this may have been the last one

    def _tell(self, connection: Connection, tunnel: Tunnel) -> None:
        exchange, connection.exchange = connection.exchange, None
        assert exchange is not None
        exchange.status = tunnel.spoken.status or (CLIENT_CLOSED if tunnel.lost else 500)
        exchange.sent = max(0, tunnel.sent - connection.sender.unsent)
        self._ending.tell_upgraded(connection, exchange, tunnel.taken)
        exchange.request.environ = {}

    # The worker ends.

    def say_goodbye(self) -> bool:
        """Have all clients told that the server goes down, as far as their protocol can say that, or else
        their applications. False if there are none. Any thread."""
        upgraded = list(self._upgraded)
        for connection in upgraded:
            assert connection.tunnel is not None
            connection.tunnel.leaving = True
            self._connections.call(connection)
        self._context.alarm.wake()
        return bool(upgraded)

    def end(self) -> None:
        """Nothing is carried any more."""
        for connection in list(self._upgraded):
            tunnel = connection.tunnel
            assert tunnel is not None
            with suppress(ClientGone):
                tunnel.part()
            tunnel.close()
            if self._connections.tunnels.pop(tunnel.fd, None) is not None:
                self._leave(connection, tunnel)
            self._forget(connection, tunnel)
