"""The parts of a worker's request path without its threads: each connection is one end of a socket pair."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from superwsgi.board.scoreboard import Scoreboard
from superwsgi.config.schema import Site
from superwsgi.config.sections import HealthSettings, Limits, Log, Proxy, Requests, Timeouts
from superwsgi.http.client.peers import Trusted
from superwsgi.http.request.parser import Parser
from superwsgi.http.response.exchange import Exchange, Gateway
from superwsgi.log.access import AccessLog
from superwsgi.log.error import ErrorLog
from superwsgi.log.rate_limit import Complaint
from superwsgi.messages import Recycle
from superwsgi.worker.by_kind import ByKind
from superwsgi.worker.connection.alarm import NEVER, SECOND, Alarm, deadline_after
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.crowding import Addresses
from superwsgi.worker.connection.delivery import LISTENING, NO_LEASE
from superwsgi.worker.connection.outbox import Outbox
from superwsgi.worker.connection.sender import Sender
from superwsgi.worker.connection.states import Event, State, waits
from superwsgi.worker.connection.storage import Blocks, Bulk, Stores
from superwsgi.worker.queue.queue import RequestQueue
from superwsgi.worker.serve.acceptor import Acceptor, Listeners
from superwsgi.worker.serve.admission import Admission
from superwsgi.worker.serve.connections import Connections
from superwsgi.worker.serve.context import Context
from superwsgi.worker.serve.ending import Ending
from superwsgi.worker.serve.overdue.deadlines import Deadlines
from superwsgi.worker.serve.service import Service
from superwsgi.worker.threads.pool import Pool
from superwsgi.worker.threads.thread import WorkerThread

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


class Parts:
    """A worker of `slots` siblings, one thread of which is the test's own: it has the baton."""

    def __init__(
        self,
        app: Callable[..., Any] = hello,
        *,
        threads: int = 2,
        siblings: int = 1,
        limits: Limits | None = None,
        peers: Proxy | None = None,
        slow: float = 5.0,
        health: HealthSettings | None = None,
        **timeouts: float,
    ) -> None:
        self._stack = contextlib.ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        fds = [os.open(self.folder / name, os.O_WRONLY | os.O_CREAT) for name in ("error.log", "access.log")]
        for fd in fds:
            self._stack.callback(os.close, fd)
        site = Site(
            name="test",
            apps={"/": "test:app"},
            threads=threads,
            limits=limits or Limits(),
            proxy=peers or Proxy(),
            health=health or HealthSettings(),
            requests=Requests(),
            log=Log(slow=slow),
            timeouts=Timeouts(**timeouts),
        )
        errors = ErrorLog(fds[0], "debug")
        self.board = Scoreboard.create(siblings + 1, threads + 1)
        self._stack.callback(os.close, self.board.fd)
        self.access = AccessLog(fds[1], "combined", errors, pid=1, worker=1, generation=1)
        epoll = self._stack.enter_context(select.epoll())
        alarm = Alarm()
        self._stack.callback(alarm.close_in_child)
        self.context = Context(
            site=site,
            gateway=Gateway(app, errors),
            errors=errors,
            access=self.access,
            board=self.board.writer(0),
            epoll=epoll,
            alarm=alarm,
            waits=waits(site.timeouts),
            trusted=Trusted(site.proxy.trusted),
            by_kind=ByKind(self.board.writer(0).kind_table()),
        )
        self.listener, self.for_checks = self._listening(), self._listening()
        listeners = Listeners([self.listener, self.for_checks], for_checks=frozenset([self.for_checks]))
        self.recycled: list[Recycle] = []
        bulk, blocks = Bulk(threads), Blocks(alarm)
        age = int(site.limits.queue_age * SECOND)
        self.connections = Connections(RequestQueue(site.queue, threads, bulk, age))
        refused = Complaint(errors.warning, "no more threads")
        self.pool = Pool(site.elastic, self.context.board, alarm, refused, lambda thread: None)
        self.pool.start()
        addresses = Addresses(site.limits.per_address) if site.limits.per_address else None
        self.acceptor = Acceptor(
            self.context, self.connections, self.pool, listeners, lambda now: self.admission.make_room(now)
        )
        self.ending = Ending(self.context, self.connections, self.acceptor, addresses)
        self.admission = Admission(
            self.context, self.connections, self.ending, listeners, addresses, bulk, blocks
        )
        self.baton = self.pool.baton
        self.service = Service(
            self.context,
            self.connections,
            self.pool,
            self.acceptor,
            self.admission,
            self.ending,
            bulk,
            self.recycled.append,
        )
        self.threads = list(self.pool)  # which have ended already
        self.deadlines = Deadlines(self.context, self.service, self.ending, self.pool, blocks)
        self.me = self.threads[0]
        self.me.has_baton = True

    def _listening(self) -> socket.socket:
        listener = self._stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.setblocking(False)
        return listener

    def keep(self, client: socket.socket) -> socket.socket:
        """Until the end of the test."""
        client.settimeout(10)
        return self._stack.enter_context(client)

    def keep_connection(self, connection: Connection) -> Connection:
        self._stack.enter_context(contextlib.closing(connection.sock))
        return connection

    def peer(self, state: State = State.NEW) -> Peer:
        """A client, and its connection here."""
        return self._stack.enter_context(Peer(self, state))

    def run(self, connection: Connection, now: int, deadline: int, number: int = 1) -> WorkerThread:
        """Its request is in the application from `now` on, in the hands of that thread."""
        thread = self.threads[number]
        connection.parser.feed(GET)
        connection.become(Event.RUN, now)
        connection.deadline = NEVER
        connection.sender.begin(NO_LEASE)
        request = connection.parser.pop()
        connection.exchange = Exchange(self.context.gateway, request, connection.sender, now)
        thread.connection = connection
        thread.deadline = deadline
        thread.token.append(connection.exchange)
        self.pool.permits.pop()
        return thread

    def queued(self) -> list[Connection]:
        """Those that wait for a thread, in the order in which they came."""
        lanes = self.connections.queue._lanes.values()
        return [
            connection
            for _, connection in sorted(
                (each for lane in lanes for each in lane.waiting), key=lambda each: each[0]
            )
        ]

    @property
    def errors(self) -> str:
        return (self.folder / "error.log").read_text()

    def logged(self) -> list[tuple[str, int, int]]:
        """What the access log was told: target, status, bytes of body."""
        entries = []
        while not self.access._queue.empty():
            if (entry := self.access._queue.get()) is not None:
                entries.append((entry.target, entry.status, entry.sent))
        return entries

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class Peer:
    """One connection of a worker, owned, and the client's end of it."""

    def __init__(self, parts: Parts | None = None, state: State = State.NEW) -> None:
        self._own = Parts() if parts is None else None
        self.parts = parts or self._own
        self.context = context = self.parts.context
        self.client, ours = socket.socketpair()
        self.client.setblocking(False)
        ours.setblocking(False)
        site = context.site
        parser = Parser(site.limits, {"REMOTE_ADDR": ""}, context.gateway.ids)
        patience = deadline_after(site.timeouts.send)
        outbox = Outbox(Stores(site.limits.spool, lambda error: None))
        sender = Sender(ours, outbox, context.epoll, context.alarm, patience, parser.requests)
        self.connection = Connection(ours, "", parser, sender, state, context.alarm, context.waits)
        context.epoll.register(ours, LISTENING)
        self.parts.connections.open[self.connection.fd] = self.connection

    def received(self) -> bytes:
        """What has come until now."""
        whole = b""
        with contextlib.suppress(BlockingIOError):
            while piece := self.client.recv(1 << 20):
                whole += piece
        return whole

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.connection.sock.close()
        if self._own is not None:
            self._own.__exit__()
