"""From an accepted socket to a connection of the service: its environ, parser, TLS, and place in epoll.

Called in whichever thread polls. arrivals.py decides who may stay; here is what each one needs.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterable, Set
from typing import Final

from superwsgi.config.schema import Site
from superwsgi.http.client.peers import UNIX, Trusted
from superwsgi.http.environ import base_environ, connection_environ
from superwsgi.http.request.parser import Parser
from superwsgi.http.response.exchange import Gateway
from superwsgi.log.rate_limit import Complaint
from superwsgi.tls.interface import Certificates
from superwsgi.worker.connection.alarm import Alarm
from superwsgi.worker.connection.connection import LISTENING, Connection
from superwsgi.worker.connection.states import State
from superwsgi.worker.connection.storage import Stores
from superwsgi.worker.serve.acceptor import Accepted
from superwsgi.worker.serve.service import Service

_WARNED: Final = 8
"""Peers that are warned of, at most."""


class Admission:
    """`certificates` are for connections of the `secured` listeners."""

    def __init__(
        self,
        site: Site,
        service: Service,
        gateway: Gateway,
        *,
        epoll: select.epoll,
        alarm: Alarm,
        trusted: Trusted,
        secured: Set[socket.socket],
        certificates: Certificates | None,
    ) -> None:
        self._errors = errors = gateway.errors
        self._warned: set[str] = set()  # peers
        self._limits = site.limits
        self._introduced = site.proxy.protocol
        self._service = service
        self._gateway = gateway
        self._epoll = epoll
        self._alarm = alarm
        self._trusted = trusted
        self._secured = secured
        self._certificates = certificates
        self._base = base_environ(
            errors.stream(),
            multithread=site.threads > 1,
            multiprocess=True,  # one worker, too: reloads and TTIN add another
        )
        self._unwatched = Complaint(errors.warning, "connection not watched")
        self._unspooled = Complaint(errors.warning, "no temporary file for a response")
        self._stores = Stores(site.limits.spool, self._no_spool, bulk=service.bulk)

    def admit(self, accepted: Iterable[Accepted]) -> None:
        """Make connections of what has been accepted, and hand them to the service."""
        for sock, address, listener in accepted:
            sock.setblocking(False)
            client = address[:2] if sock.family != socket.AF_UNIX else None
            environ = connection_environ(self._base, _server_of(listener, sock), client)
            remote = client[0] if client else ""
            believed = self._trusted.peer(remote or UNIX).trusted
            parser = Parser(
                self._limits,
                environ,
                self._gateway.ids,
                self._trusted if believed else None,
                self._warn_of_claim,
            )
            connection = Connection(
                sock, remote, parser, self._epoll, self._alarm, self._service.waits, self._stores
            )
            if self._certificates is not None and listener in self._secured:
                connection.secure(self._certificates.accept(sock, environ))
            if self._introduced:
                connection.state = State.PROXY
            self._service.arrivals.adopt(connection, self._service.now)
            if connection.state is State.PROXY and not believed:
                self._service.ending.turn_away(connection, "not in proxy.trusted, and proxy.protocol is on")
            elif self._begin(connection):
                self._service.let_go(connection)

    def _begin(self, connection: Connection) -> bool:
        """False where it was closed."""
        try:
            self._epoll.register(connection.fd, LISTENING)
        except OSError as error:  # fs.epoll.max_user_watches, or memory
            self._unwatched.make(self._service.now, error=error.strerror, next="closed")
            return self._service.ending.close(connection)
        return self._service.arrivals.count(connection, self._service.now)

    def _warn_of_claim(self, address: str, field: str) -> None:
        """Once for a peer, and for a few of them: behind a proxy that is not trusted, links and redirects are
        wrong, and nothing else tells. Anybody on the internet may send such fields, too."""
        peer = address or "unix"
        if peer in self._warned or len(self._warned) >= _WARNED:
            return
        self._warned.add(peer)
        self._errors.warning(
            "forwarded fields ignored",
            peer=peer,
            field=field,
            reason="not in proxy.trusted",
            next=f"if that is your proxy, add it: proxy: {{trusted: [{peer}]}}; otherwise all is well",
        )

    def _no_spool(self, error: OSError) -> None:
        self._unspooled.make(time.monotonic_ns(), error=error.strerror, next="applications wait for clients")


def _server_of(listener: socket.socket, sock: socket.socket) -> tuple[str, int] | None:
    """Address and port that a client reached; None for a unix socket."""
    if listener.family == socket.AF_UNIX:
        return None
    host, port = listener.getsockname()[:2]
    return (sock.getsockname()[0], port) if host in ("0.0.0.0", "::") else (host, port)
