"""The client's side of a connection: what it is sent, through TLS if it speaks that, and what it has yet to
take.

One lock guards all of it, so that the polling thread can keep sending while the application is still
producing, in any thread. `state` says how much of the response in hand has gone, by the table in states.py.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from typing import Final

from superwsgi.http.errors import ClientGone
from superwsgi.http.files import Span, Unreadable, read_span
from superwsgi.http.request.head import Request
from superwsgi.tls.interface import Out, Tls
from superwsgi.worker import forks
from superwsgi.worker.connection.alarm import NEVER, Alarm
from superwsgi.worker.connection.outbox import Outbox
from superwsgi.worker.connection.states import NEXT_SENDING, Act, Sending

CLIENT_CLOSED: Final = "client closed"
CLIENT_TOO_SLOW: Final = "client too slow"

LISTENING: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
SPEAKING: Final = LISTENING | select.EPOLLOUT

NO_LEASE: Final[list[None]] = []

_COPIED: Final = 256 << 10
"""Bytes of a file that are read at a time, if it has to be copied."""

_HELD: Final = 16 << 10
"""Bytes of a response that may wait for others; sending more takes so long that nothing is gained."""

_RESET: Final = b"\1\0\0\0\0\0\0\0"  # struct linger {1, 0}, socket(7): close() sends a reset

_HOLDING: Final = Sending.HELD
_CUT: Final = Sending.CUT
_ANSWER: Final = Act.ANSWER
_SEND: Final = Act.SEND
_HOLD: Final = Act.HOLD
_END: Final = Act.END


class _Returned:
    """Replaces the connection in a forked child: only its parent may answer."""

    def send(self, data: bytes | memoryview, /) -> int:
        forks.came_back()


class Sender:
    """See the module. Times are monotonic ns; `patience` is timeouts.send, and `following` has the client's
    next request once it has arrived."""

    __slots__ = (
        "_alarm", "_epoll", "_fd", "_following", "_lock", "_missed", "_patience", "_sock", "_waiting",
        "deadline", "fault", "held", "lease", "loss", "mark", "out", "outbox", "spoke", "state", "tls",
        "unsent",
    )  # fmt: skip

    def __init__(
        self,
        sock: socket.socket,
        outbox: Outbox,
        epoll: select.epoll,
        alarm: Alarm,
        patience: int,
        following: list[Request],
    ) -> None:
        self.state = Sending.UNSENT
        self.outbox = outbox
        self.out: Out = sock
        self.tls: Tls | None = None
        self.deadline = NEVER  # by which the client must have taken some of the outbox
        self.mark = 0  # how many bytes it had taken when that was set
        self.lease = NO_LEASE  # while there is one, the end of a response may wait for other answers
        self.held = b""  # what is waiting
        self.spoke = 0  # when the application last sent a piece
        self.loss = CLIENT_CLOSED  # why nothing more is sent
        self.fault = ""  # the same, if it is not the client's doing
        self.unsent = 0  # bytes that were dropped
        self._sock = sock
        self._fd = sock.fileno()
        self._epoll = epoll
        self._alarm = alarm
        self._patience = patience
        self._following = following
        self._lock = threading.Lock()
        self._missed = False  # the poller would have sent, but another thread had the lock
        self._waiting: threading.Lock | None = None  # the application's thread waits until this is released

    @property
    def gone(self) -> bool:
        """Whether nothing more can be sent."""
        return self.state is _CUT

    @property
    def followed(self) -> bool:
        """Whether the next request has already arrived."""
        return bool(self._following)

    # TLS: a session is not thread-safe.

    def secure(self, tls: Tls) -> None:
        """The connection speaks TLS: it begins with a handshake."""
        self.out = self.tls = tls

    def stay_plain(self) -> None:
        """The client does not speak TLS."""
        self.out, self.tls = self._sock, None

    def shake_hands(self, tls: Tls) -> bytes | None:
        """Take a step of the handshake; returns what the client sent after it, once done. Raises OSError."""
        with self._lock:
            return tls.open(b"") if tls.handshake() else None

    def decrypt(self, tls: Tls, data: bytes) -> bytes:
        """The plaintext of what has arrived. Raises OSError, after telling the client."""
        self._lock.acquire()
        try:
            return tls.open(data)
        finally:
            self._lock.release()

    def part(self) -> None:
        """Tell the client that nothing more follows, if everything has been sent and it speaks TLS."""
        with self._lock:
            if self.tls is not None and self.outbox.size == 0 and self.state is not _CUT:
                self.tls.part()

    # The response in hand. Sending raises ClientGone.

    def begin(self, lease: list[None]) -> None:
        """The application is called for the next response."""
        self._lock.acquire()  # a `with` takes twice as long, and this runs for every request
        self.state = NEXT_SENDING[self.state][_ANSWER]
        self.lease = lease
        self._lock.release()

    def send(self, data: bytes) -> None:
        """Send, or keep for the polling thread."""
        self._send_as(_SEND, data)

    def send_piece(self, data: bytes) -> None:
        """Like send, and a sign of life from the application."""
        self._send_as(_SEND, data)
        self.spoke = time.monotonic_ns()

    def send_last(self, data: bytes) -> None:
        """Like send, for the end of a response: during a lease it is held until `release`."""
        if not self.lease or len(data) > _HELD or self.outbox.size:
            self._send_as(_END, data)
            return
        self._lock.acquire()
        gone = self.state is _CUT
        if not gone:
            self.state = NEXT_SENDING[self.state][_HOLD]
            self.held = data
        self._lock.release()
        if gone:
            raise ClientGone(len(data))
        if not self.lease:  # taken since we looked, perhaps before anything was held
            self.release()

    def release(self) -> None:
        """Send what is held, unless the client has gone; if nothing is held, all has been sent."""
        self._lock.acquire()
        try:
            done = self.state is not _HOLDING or self._send(_END, self._unheld())
        except ClientGone as gone:
            self.unsent += gone.unsent
            done = True
        finally:
            self._lock.release()
        if not done and self._missed:
            self.flush()

    def send_file(self, span: Span) -> None:
        """Like send, with bytes of a file."""
        if span.size and not self._put_file(span):
            self._send_copies(span)
        if self._missed:
            self.flush()

    # What the client has yet to take.

    def flush(self) -> None:
        """Send what is kept. If another thread has the lock, it does so in our place, so nobody waits."""
        self._missed = True
        while self._missed and self._lock.acquire(False):
            try:
                self._missed = False
                self._flush()
            finally:
                self._lock.release()

    def overrule(self, response: bytes) -> bool:
        """Let nobody else send any more. Send `response` if nothing was sent before; False if it is too late
        for that: then a reset tells the client that its response is incomplete."""
        with self._lock:
            in_time = self.state is Sending.UNSENT
            if in_time:
                with contextlib.suppress(OSError):
                    self.out.send(response)
            self._cut()
            if not in_time:
                self._reset()
            return in_time

    def cut(self, loss: str = CLIENT_CLOSED, *, reset: bool = False) -> None:
        """Send nothing more, from any thread; `reset` tells the client that its response is incomplete."""
        with self._lock:
            if self.state is not _CUT:
                self.loss = loss
            self._cut()
            if reset:
                self._reset()

    def lose(self) -> None:
        """The client has left. If something is being sent, or waits to be, sending it will fail and inform
        any waiting thread."""
        if self._lock.acquire(False):
            if self.outbox.size == 0:
                self._cut()
            self._lock.release()

    def close_in_child(self) -> None:
        """In a child that the application forked, which lacks the threads that would release locks."""
        self._lock = threading.Lock()
        self.outbox.close_in_child()
        self.lease, self.held = NO_LEASE, b""
        self.out = _Returned()

    # Called with the lock held.

    def _cut(self) -> None:
        self.state = NEXT_SENDING[self.state][Act.CUT]
        self.unsent += self.outbox.size + len(self._unheld())
        self.outbox.clear()
        self.deadline = NEVER
        self._let_go_on()

    def _unheld(self) -> bytes:
        held, self.held = self.held, b""
        return held

    def _reset(self) -> None:
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def _give_up(self, error: Unreadable) -> None:
        """Part of what was promised cannot be sent."""
        self.fault = str(error)
        self._cut()

    def _send(self, act: Act, data: bytes) -> bool:
        """Whether nothing had to be kept."""
        if self.state is _CUT:
            raise ClientGone(len(data))
        self.state = NEXT_SENDING[self.state][act]
        if self.outbox.size:
            self._wait_for_client(len(data))
        if self.outbox.size:
            self._keep(data)
            return False
        try:
            sent = self.out.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._cut()
            raise ClientGone(len(data)) from None
        if sent < len(data):
            self._keep(memoryview(data)[sent:])
        return sent == len(data)

    def _flush(self) -> None:
        if self.outbox.size == 0:
            return
        try:
            more = self.outbox.flush(self.out)
        except Unreadable as error:
            self._give_up(error)
            return
        except OSError:
            self._cut()
            return
        self._let_go_on()
        if self.outbox.size == 0:
            self.deadline = NEVER
            self._epoll.modify(self._fd, LISTENING)
        elif more:
            self._epoll.modify(self._fd, SPEAKING)  # causes another event, after those of others

    def _keep(self, data: bytes | memoryview) -> None:
        """Keep what the client does not take now."""
        empty = self.outbox.size == 0
        self.outbox.put(data)
        if empty:
            self._await_client()
        if self.outbox.strained:
            self._wait_for_client(0)

    def _await_client(self) -> None:
        """From now on the poller gets an event when the client takes more, and checks that it does."""
        self.mark = self.outbox.sent
        self.deadline = time.monotonic_ns() + self._patience
        self._alarm.no_later_than(self.deadline)
        self._epoll.modify(self._fd, SPEAKING)

    def _wait_for_client(self, unsent: int) -> None:
        """Wait until the application may send more. Raises ClientGone: too slow a client is cut off."""
        while self.outbox.full:
            self._waiting = waiting = threading.Lock()
            waiting.acquire()
            self._lock.release()
            try:
                if self._missed:
                    self.flush()
                waiting.acquire()
            finally:
                self._lock.acquire()
            if self.state is _CUT:
                raise ClientGone(unsent)

    def _let_go_on(self) -> None:
        if self._waiting is not None:
            self._waiting.release()
            self._waiting = None

    # Called without the lock.

    def _send_as(self, act: Act, data: bytes) -> None:
        self._lock.acquire()
        try:
            done = self._send(act, data)
        finally:
            self._lock.release()
        if not done and self._missed:
            self.flush()

    def _put_file(self, span: Span) -> bool:
        """False if there is no descriptor left to keep the file open with."""
        with self._lock:
            if self.state is _CUT:
                raise ClientGone(span.size)
            self.state = NEXT_SENDING[self.state][_SEND]
            empty = self.outbox.size == 0
            try:
                self.outbox.put_file(span)
            except OSError:
                return False
            if empty:
                self._flush()
                if self.outbox.size:
                    self._await_client()
            return True

    def _send_copies(self, span: Span) -> None:
        """Send a file that only the application keeps open: it has to wait for its client."""
        at, end = span.offset, span.offset + span.size
        while at < end:
            try:
                data = read_span(Span(span.fd, at, min(end - at, _COPIED)))
            except Unreadable as error:
                with self._lock:
                    self.unsent += end - at
                    self._give_up(error)
                return
            self.send_piece(data)
            at += len(data)
