"""How a connection begins: made from an accepted socket, introduced by its proxy, counted; and which others
are closed to make room for it.

Called by the polling thread, which owns what it has just accepted. A method that takes a step with a
connection returns the next Step.
"""

from __future__ import annotations

import socket
import time
from typing import Any, Final

from superwsgi.apps.types import Environ
from superwsgi.http.client.peers import UNIX
from superwsgi.http.environ import base_environ, set_client, set_server
from superwsgi.http.errors import HttpError, ProxyHeaderError
from superwsgi.http.request.parser import Parser
from superwsgi.log.rate_limit import Complaint
from superwsgi.worker.connection.alarm import deadline_after
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.crowding import Addresses, client_of, least_needed
from superwsgi.worker.connection.delivery import LISTENING
from superwsgi.worker.connection.outbox import Outbox
from superwsgi.worker.connection.sender import Sender
from superwsgi.worker.connection.states import Event, State
from superwsgi.worker.connection.storage import Blocks, Bulk, Stores
from superwsgi.worker.serve.acceptor import Listeners
from superwsgi.worker.serve.connections import Connections, Step
from superwsgi.worker.serve.context import Context
from superwsgi.worker.serve.ending import Ending
from superwsgi.worker.threads.thread import send_early_hints

_CROWDED: Final = HttpError(429, "more connections than limits.per_address")

_WARNED: Final = 8
"""Maximum number of peers to warn about."""


class Entrance:
    """What all connections by a listener have in common: `environ` is theirs but for the client, and where
    the listener is at `any` address for that, too."""

    __slots__ = ("any", "environ", "for_checks", "port", "secured", "unix")

    def __init__(self, listener: socket.socket, listeners: Listeners, base: Environ) -> None:
        self.unix = listener.family == socket.AF_UNIX
        self.for_checks = listener in listeners.for_checks
        self.secured = listener in listeners.secured
        host, port = ("", 0) if self.unix else listener.getsockname()[:2]
        self.any = host in ("0.0.0.0", "::")
        self.port: int = port
        self.environ = base.copy()
        set_server(self.environ, None if self.unix else (host, port))

    def admit(self, sock: socket.socket, client: tuple[str, int] | None) -> Environ:
        """The environ of a connection by it."""
        environ = self.environ.copy()
        if self.any:
            set_server(environ, (sock.getsockname()[0], self.port))
        set_client(environ, client)
        return environ


class Admission:
    """`bulk` keeps track of responses that fill temporary files, `blocks` has memory for large bodies. Times
    are monotonic ns."""

    def __init__(
        self,
        context: Context,
        connections: Connections,
        ending: Ending,
        listeners: Listeners,
        addresses: Addresses | None,
        bulk: Bulk,
        blocks: Blocks,
    ) -> None:
        site, errors = context.site, context.errors
        self._context = context
        self._errors = errors
        self._connections = connections
        self._ending = ending
        self._certificates = listeners.certificates
        self._addresses = addresses
        self._warned: set[str] = set()  # peers
        self._introduced = site.proxy.protocol
        self._patience = deadline_after(site.timeouts.send)
        base = base_environ(
            errors.stream(),
            multithread=site.most_threads > 1,
            multiprocess=True,  # even with one worker: reloads and TTIN add another
            early_hints=send_early_hints,
        )
        self._entrances = {listener: Entrance(listener, listeners, base) for listener in listeners.sockets}
        self._limits = site.limits
        self._unwatched = Complaint(errors.warning, "connection not watched")
        self._unspooled = Complaint(errors.warning, "no temporary file for a response")
        self._crowded = Complaint(errors.warning, "too many connections of one client")
        self._stores = Stores(site.limits.spool, self._no_spool, bulk=bulk)
        self._blocks = blocks
        self._accepted = 0

    def adopt(self, sock: socket.socket, address: Any, listener: socket.socket) -> Connection:
        """Make a connection from an accepted socket. The caller owns it, and nobody else knows of it yet."""
        sock.setblocking(False)
        connection = self._make(sock, address, listener)
        context, opened = self._context, self._connections.open
        opened[connection.fd] = connection
        self._accepted += 1
        context.board.set("connections", len(opened))
        context.board.set("accepted", self._accepted)
        connection.deadline = self._connections.now + context.waits[connection.state]
        context.alarm.no_later_than(connection.deadline)
        return connection

    def begin(self, connection: Connection) -> Step:
        """Watch a new connection, unless it may not even begin."""
        now = self._connections.now
        if connection.state is State.PROXY and not self._believes(connection):
            return self._ending.turn_away(connection, "not in proxy.trusted, and proxy.protocol is on")
        try:
            self._context.epoll.register(connection.fd, LISTENING)
        except OSError as error:  # fs.epoll.max_user_watches, or memory
            self._unwatched.make(now, reason=error.strerror, next="closed")
            return self._ending.close(connection)
        return self._count(connection, now)

    def introduce(self, connection: Connection, now: int) -> Step:
        """Its proxy says whose connection it is. The bytes after that are still unread."""
        try:
            known = connection.introduce(self._context.trusted)
        except BlockingIOError:
            return Step.REST
        except OSError:  # many health checks only connect
            self._errors.debug("connection closed by its peer", peer=connection.remote or "unix")
            return self._ending.close(connection)
        except ProxyHeaderError as error:
            return self._ending.turn_away(connection, str(error))
        if known or connection.ended:
            connection.called = True  # no event follows for bytes that have arrived already
        if not known:
            return Step.REST
        connection.become(Event.INTRODUCE if connection.sender.tls is None else Event.SECURE, now)
        return self._count(connection, now)

    def make_room(self, now: int) -> bool:
        """Close some connections that are not needed, or hardly; False if there are none."""
        opened = self._connections.open
        connections = list(opened.values())  # others close some meanwhile
        candidates = least_needed(connections, self._context.waits, now, max(1, len(connections) // 32))
        return sum(map(self._close_unneeded, candidates)) > 0

    def _make(self, sock: socket.socket, address: Any, listener: socket.socket) -> Connection:
        context, certificates, entrance = self._context, self._certificates, self._entrances[listener]
        client = None if entrance.unix else (address[0], address[1])
        environ = entrance.admit(sock, client)
        remote = client[0] if client else ""
        believed = context.trusted if context.trusted.peer(remote or UNIX).trusted else None
        ids = context.gateway.ids
        for_checks = entrance.for_checks
        front = None if for_checks else context.front  # probes speak to this server itself
        warn = self._warn_of_claim
        parser = Parser(self._limits, environ, ids, believed, warn, context.rules, front, self._blocks)
        outbox = Outbox(self._stores)
        sender = Sender(sock, outbox, context.epoll, context.alarm, self._patience, parser.requests)
        state = State.NEW
        if certificates is not None and entrance.secured:
            sender.secure(certificates.accept(sock, environ))
            state = State.HANDSHAKE
        if self._introduced and not for_checks:  # nobody introduces a probe
            state = State.PROXY
        connection = Connection(sock, remote, parser, sender, state, context.alarm, context.waits)
        connection.for_checks = for_checks
        return connection

    def _believes(self, connection: Connection) -> bool:
        return self._context.trusted.peer(connection.remote or UNIX).trusted

    def _count(self, connection: Connection, now: int) -> Step:
        """The address of its client, or of the last trusted proxy, is known now."""
        if self._addresses is None or connection.for_checks or self._believes(connection):
            return Step.REST
        client = client_of(connection.remote)
        if not client or self._addresses.enter(client):
            connection.client = client
            return Step.REST
        self._crowded.make(now, client=client, limit="limits.per_address", next="refused with 429")
        if connection.sender.tls is not None:
            return self._ending.turn_away(connection, _CROWDED.reason)
        return self._ending.refuse(connection, _CROWDED, now)

    def _close_unneeded(self, connection: Connection) -> bool:
        if not connection.take():
            return False
        state = connection.state
        if state is State.LINGERING or (state in (State.NEW, State.IDLE) and not connection.has_spoken()):
            self._ending.close(connection)
            return True
        if connection.let_go():
            self._connections.ready.append(connection)
        return False

    def _warn_of_claim(self, address: str, field: str) -> None:
        """Warn once per peer, and only about a few: behind a proxy that is not trusted, links and redirects
        are wrong, and nothing else shows why. But anybody on the internet may send such fields, too."""
        peer = address or "unix"
        if peer in self._warned or len(self._warned) >= _WARNED:
            return
        self._warned.add(peer)
        if self._context.trusted.peer(address or UNIX).trusted:
            self._tell_of_underscore(peer, field)
            return
        self._errors.notice(
            "forwarded fields ignored",
            peer=peer,
            field=field,
            reason="not in proxy.trusted",
            next=f"if that is your proxy, add it: proxy: {{trusted: [{peer}]}}; otherwise nothing is wrong",
        )

    def _tell_of_underscore(self, peer: str, field: str) -> None:
        self._errors.info(
            "field left out",
            peer=peer,
            field=field,
            reason="X_Y and X-Y would be one variable",
            next=f"if that proxy sets it: proxy: {{fields: [{field}]}}; if a client does, nothing is wrong",
        )

    def _no_spool(self, error: OSError) -> None:
        self._unspooled.make(time.monotonic_ns(), reason=error.strerror, next="applications wait for clients")
