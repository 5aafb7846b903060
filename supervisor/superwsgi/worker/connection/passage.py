"""How an application that has taken over a connection and its client get each other's bytes.

`Direct`: the application has the connection's own socket. What the server has to know, it sees as it is sent:
see taken.py of worker/serve/upgraded/. That saves two thread switches and four copies for each message.
`Tunnel` (tunnel.py): it has one end of a pair of sockets, where the bytes have to pass through TLS, or have
arrived already.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from superwsgi import unpatched
from superwsgi.board.upgraded_table import UpgradedWriter
from superwsgi.worker.connection.alarm import SECOND
from superwsgi.worker.connection.delivery import LISTENING
from superwsgi.worker.connection.sender import Sender
from superwsgi.worker.connection.spoken import GOING_AWAY, Spoken

_ENDS: Final = select.EPOLLRDHUP | select.EPOLLET
"""All that is to be known of a connection that the application reads: its end."""

PIECE: Final = 16 << 10
"""Bytes that are sent at a time: after each of them it shows that the client takes some."""

SendSome = Callable[[Any, int], int]
"""socket.send, with flags."""


class Passage:
    """`far` is the application's. `carry` is called by the owner of the connection whenever something has
    happened to it. `done`: there is nothing more to carry. `lost`: the client has gone. `leaving`: both sides
    are to be told of the end."""

    __slots__ = (
        "_muted", "_over", "_said", "closed", "done", "far", "fd", "leaving", "left", "lost", "record",
        "sent", "spoken", "taken",
    )  # fmt: skip

    def __init__(self, far: socket.socket, now: int) -> None:
        self.far = far
        self.fd = -1  # of a socket of its own, of which the epoll tells
        self.taken = now  # when, monotonic ns
        self.spoken = Spoken()
        self.sent = 0  # bytes
        self.done = self.lost = self.leaving = self.closed = False
        self.record: UpgradedWriter | None = None  # on the scoreboard
        self.left = 2  # those that have yet to leave: the application and the connection
        self._over = False  # the application has returned
        self._said = False  # it has sent its last
        self._muted = False  # it has been told of the end, and so has its client

    def begin(self) -> None:
        """The connection is the application's."""
        raise NotImplementedError

    def cancel(self) -> None:
        """The application does not get it after all."""
        raise NotImplementedError

    def carry(self, ended: bool) -> bool:
        """Whether there may be more to carry: others have their turn first. `ended`: the client sends no
        more than what has arrived."""
        raise NotImplementedError

    def end(self) -> None:
        """The application has returned: what it has sent still arrives."""
        raise NotImplementedError

    def part(self, patience: float = 0) -> None:
        """Tell both sides of the end, as far as that is possible now: the client by a close frame if it
        speaks WebSocket, or else the application by the end of its input. Who is sending has so many seconds
        to be done with it. Raises ClientGone."""
        raise NotImplementedError

    def stalls(self, now: int, patience: int) -> int:
        """For how many bytes it has waited for its client since the last look, -1 if it has not for so long.
        Only for those whose sending nobody else watches."""
        return -1

    def close(self) -> None:
        """Nothing is carried any more: what the client still sends is the server's."""
        self.closed = True

    def release(self) -> None:
        """The connection is closed."""

    def close_in_child(self) -> None:
        """In a child that the application forked."""
        self.far.close()


class Direct(Passage):
    """`far` is another descriptor of the client's socket, which then is blocking: nothing here may wait for
    it. `ahead` bytes of what the application sends first have been sent already."""

    __slots__ = ("_ahead", "_epoll", "_fd", "_lock", "_mark", "_sender", "_since", "_sock", "unseen")

    def __init__(
        self, sock: socket.socket, sender: Sender, epoll: Any, far: socket.socket, ahead: int, now: int
    ) -> None:
        super().__init__(far, now)
        self._sock = sock
        self._fd = sock.fileno()
        self._sender = sender
        self._epoll = epoll
        self._ahead = ahead
        self._lock = unpatched.shared_lock()  # of whoever sends
        self._since = 0  # when that began, monotonic ns; 0 if nobody does
        self._mark = 0  # bytes that had been sent at the last look
        self.unseen = False  # the application may send what nobody reads along

    def begin(self) -> None:
        self.far.setblocking(True)
        self._epoll.modify(self._fd, _ENDS)

    def cancel(self) -> None:
        self._sender.elsewhere = False
        self.close_in_child()

    def carry(self, ended: bool) -> bool:
        if self.leaving:
            self.part()
        self.lost = self._sender.gone and not self._said  # else it may have yet to read what has arrived
        self.done = self.lost or self._over
        return False

    def end(self) -> None:
        self._over = True

    def part(self, patience: float = 0) -> None:
        began = self._since
        waits = began and time.monotonic_ns() - began > patience * SECOND
        if self._lock.acquire(timeout=0 if waits else patience):
            self._part(self._sock.send, self._sock)

    def stalls(self, now: int, patience: int) -> int:
        before, self._mark = self._mark, self.sent
        since = self._since
        return self.sent - before if since and now - since >= patience else -1

    def close(self) -> None:
        self.closed = True
        with suppress(OSError):
            self._sock.setblocking(False)
            self._epoll.modify(self._fd, LISTENING)

    def release(self) -> None:
        """Whatever of the application has the socket still learns of it, and the epoll forgets it."""
        with suppress(OSError):
            self._epoll.unregister(self._fd)
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close_in_child(self) -> None:
        with suppress(OSError):  # the application has closed it
            unpatched.close(self.far.detach())  # which does not tell the client, as `close` does

    # In threads of the application.

    def send(self, send: SendSome, data: Any, flags: int, timeout: float | None) -> int:
        """Like socket.send with this timeout, of `far`: all of `data` if it may wait for ever."""
        if timeout is None:
            return self.send_all(send, data, flags, None)
        view = memoryview(data).cast("B")
        with self._lock:
            sent = len(view) if self._muted else self._send(send, data, view[:PIECE], flags)
        self._part_if_leaving(send)
        return sent

    def send_all(self, send: SendSome, data: Any, flags: int, timeout: float | None) -> int:
        """Like socket.sendall with this timeout; returns how many bytes that were."""
        view = memoryview(data).cast("B")
        size, at = len(view), 0
        end = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            while at < size and not self._muted:
                at += self._send(send, data, view[at : at + PIECE], flags)
                if end is not None and at < size and end < time.monotonic():
                    raise TimeoutError("timed out")
        self._part_if_leaving(send)
        return size

    def says_no_more(self) -> None:
        """It has shut its side."""
        self._said = True

    def _send(self, send: SendSome, data: Any, view: memoryview, flags: int) -> int:
        """Called with the lock held."""
        skipped = min(self._ahead, len(view))
        self._since = time.monotonic_ns()
        try:
            sent = send(view[skipped:], flags) + skipped
        finally:
            self._since = 0
        self._ahead -= skipped
        self.sent += sent
        whole = type(data) is bytes and sent == len(data)
        self.spoken.feed(data if whole else bytes(view[:sent]))
        return sent

    def _part_if_leaving(self, send: SendSome) -> None:
        """`part` does nothing while somebody sends, who does it afterwards."""
        if self.leaving and not self._muted and self._lock.acquire(False):
            self._part(send, self.far)

    def _part(self, send: SendSome, sock: socket.socket) -> None:
        """Called with the lock held, which is released. Each side has a socket that nobody else closes."""
        try:
            if self._muted:
                return
            if self.spoken.between and not self.unseen:
                self._muted = True
                self.sent += len(GOING_AWAY)
                send(GOING_AWAY, socket.MSG_DONTWAIT)
            elif self.unseen or not self.spoken.websocket:
                sock.shutdown(socket.SHUT_RD)
        except OSError:  # it takes nothing, or has gone
            pass
        finally:
            self._lock.release()
