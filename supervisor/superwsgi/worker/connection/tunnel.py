"""The way between a client and an application that has taken over its connection, where it cannot have that
connection's own socket (see passage.py).

The application gets one end of a pair of sockets, `far`, and bytes are carried between the client and the
other end, `near`, as the epoll tells of them. So libraries have a socket of the kernel's, whatever they do
with it, and wait for it with; TLS, slow clients and the end are dealt with as on other connections.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any, Final

from superwsgi.http.errors import ClientGone
from superwsgi.worker.connection.delivery import LISTENING, SPEAKING
from superwsgi.worker.connection.passage import Passage
from superwsgi.worker.connection.sender import Sender
from superwsgi.worker.connection.spoken import GOING_AWAY

SIZE: Final = 64 << 10
"""Bytes carried at a time: no more than an outbox keeps for each connection in any case, so that nobody ever
has to wait for the client."""

TURNS: Final = 8
"""How often, before others have their turn."""


class Tunnel(Passage):
    """`early` is what the client has sent already."""

    __slots__ = ("_epoll", "_full", "_heard", "_inward", "_sender", "_sock", "near")

    def __init__(
        self,
        pair: tuple[socket.socket, socket.socket],
        sock: socket.socket,
        sender: Sender,
        epoll: Any,
        early: bytes,
        now: int,
    ) -> None:
        """Raises OSError."""
        self.near, far = pair
        super().__init__(far, now)
        self.near.setblocking(False)
        self.fd = self.near.fileno()
        self._sock = sock
        self._sender = sender
        self._epoll = epoll
        self._inward = early  # what the application has yet to take
        self._full = False  # it takes no more for now
        self._heard = False  # the client has sent its last

    def begin(self) -> None:
        self._epoll.register(self.fd, LISTENING)

    def cancel(self) -> None:
        self.close_in_child()

    def carry(self, ended: bool) -> bool:
        try:
            more = self._carry_out()
            more = self._carry_in(ended) or more
        except ClientGone:
            self.lose()
        self._look_for_end()
        return not self.done and more

    def lose(self) -> None:
        """The client has gone: the application finds that out."""
        self.done = self.lost = True
        with suppress(OSError):
            self.near.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        self._over = True
        with suppress(OSError):
            self.far.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.closed = True
        with suppress(OSError):
            self._epoll.unregister(self.fd)
        self.near.close()

    def close_in_child(self) -> None:
        self.near.close()
        self.far.close()

    def part(self, patience: float = 0) -> None:
        spoken = self.spoken
        if self._muted or self._sender.outbox.size:
            return
        if spoken.between:
            self._muted = True
            self.sent += len(GOING_AWAY)
            self._sender.send(GOING_AWAY)
        elif not spoken.websocket:
            self._end_inward()

    # From the application to the client.

    def _carry_out(self) -> bool:
        for _ in range(TURNS):
            if self.leaving:
                self.part()
            if self._said or not self._flushed():
                return False
            try:
                data = self.near.recv(SIZE)
            except BlockingIOError:
                return False
            except OSError:  # it has closed its end, and not read all
                data = b""
            if not data:
                self._said = True
                return False
            if not self._muted:
                self.spoken.feed(data)
                self.sent += len(data)
                self._sender.send(data)
        return True

    def _flushed(self) -> bool:
        """Whether the client has taken all before this."""
        if self._sender.outbox.size:
            self._sender.flush()
        if self._sender.gone:
            raise ClientGone
        return not self._sender.outbox.size

    # From the client to the application.

    def _carry_in(self, ended: bool) -> bool:
        for _ in range(TURNS):
            if self._inward and not self._push():
                return False
            if self._heard:
                return False
            data = self._receive()
            if data is None:
                return False
            if not data:
                self._end_inward()
                return False
            short = len(data) < SIZE
            self._inward = self._plain(data)
            if short and not ended:
                if self._inward:
                    self._push()
                return False
        return True

    def _receive(self) -> bytes | None:
        """None: nothing has arrived. Raises ClientGone."""
        try:
            return self._sock.recv(SIZE)
        except BlockingIOError:
            return None
        except OSError:
            raise ClientGone from None

    def _plain(self, data: bytes) -> bytes:
        tls = self._sender.tls
        if tls is None:
            return data
        try:
            return self._sender.decrypt(tls, data)
        except OSError:
            raise ClientGone from None

    def _push(self) -> bool:
        """Whether the application has room for all that has arrived."""
        try:
            sent = self.near.send(self._inward)
            self._inward = self._inward[sent:]
        except BlockingIOError:
            pass
        except OSError:  # it reads no more
            self._inward = b""
        full = bool(self._inward)
        if full is not self._full:
            self._full = full
            self._epoll.modify(self.fd, SPEAKING if full else LISTENING)
        return not full

    def _end_inward(self) -> None:
        self._heard = True
        with suppress(OSError):
            self.near.shutdown(socket.SHUT_WR)

    # The end.

    def _look_for_end(self) -> None:
        """Once the application has sent its last, nothing more is heard from the client if that has done so,
        too, or cannot by itself (RFC 8446 section 6.1 allows it, OpenSSL does not), or nobody listens."""
        if not self._said or self._sender.outbox.size:
            return
        if self._heard or self._over or self._sender.tls is not None:
            self.done = True
        else:
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)
