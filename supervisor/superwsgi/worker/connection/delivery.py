"""What becomes of the bytes that a client is sent: the socket takes them, or they are kept in the outbox
until it does, or the client has gone. One lock guards all of it, which the caller holds (sender.py takes it),
but for `flush`.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from contextlib import suppress
from typing import Final

from superwsgi import unpatched
from superwsgi.core.chosen import SEND
from superwsgi.http.errors import ClientGone
from superwsgi.http.files import Unreadable
from superwsgi.http.request.head import Request
from superwsgi.tls.interface import Out, Tls
from superwsgi.worker.connection.alarm import NEVER, Alarm
from superwsgi.worker.connection.outbox import Outbox
from superwsgi.worker.connection.states import NEXT_SENDING, Act, Sending

CLIENT_CLOSED: Final = "client closed"

LISTENING: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
SPEAKING: Final = LISTENING | select.EPOLLOUT

NO_LEASE: Final[list[None]] = []

BEGINNING: Final = b"HTTP/1.1 "
"""Of every response, whatever it will be: RFC 9112 section 4."""

_CUT: Final = Sending.CUT
_SHUT: Final = Sending.SHUT
_END: Final = Act.END


class Delivery:
    """See the module. Times are monotonic ns; `patience` is timeouts.send, and `following` has the client's
    next request once it has arrived."""

    __slots__ = (
        "_ahead", "_alarm", "_epoll", "_fd", "_following", "_lock", "_lost", "_missed", "_patience", "_sock",
        "_waiting", "deadline", "doubted", "elsewhere", "fault", "held", "lease", "loss", "mark", "out",
        "outbox", "resets", "spoke", "state", "tls", "unsent", "void",
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
        self.void = b""  # bytes that mean nothing between two pieces of the response in hand
        self.resets = False  # the end of the connection would be taken for that of the response
        self.elsewhere = False  # the application sends on the socket itself
        self._ahead = 0  # bytes of the next response that have been sent before there was one
        self._sock = sock
        self._fd = sock.fileno()
        self._epoll = epoll
        self._alarm = alarm
        self._patience = patience
        self._following = following
        self._lock = unpatched.shared_mutex()
        self._missed = False  # the poller would have sent, but another thread had the lock
        self.doubted = False  # the client has closed its side, and may be gone
        self._lost = False  # the poller was told that the client has left, but another thread had the lock
        self._waiting: threading.Lock | None = None  # the application's thread waits until this is released

    def flush(self) -> None:
        """Send what is kept. If another thread has the lock, it does so in our place, so nobody waits."""
        self._missed = True
        while self._missed and self._lock.acquire(False):
            try:
                self._missed = False
                self._flush()
            finally:
                self._lock.release()

    # Called with the lock held.

    def _sound(self) -> None:
        if self.state is not _CUT and not (self.outbox.size or self._ahead or self.elsewhere):
            self._ahead = len(BEGINNING)
            self._try(BEGINNING)

    def _try(self, data: bytes) -> None:
        """Send what the client may be not there to read."""
        with suppress(ClientGone):
            self._put(data)

    def _cut(self) -> None:
        self.state = NEXT_SENDING[self.state][Act.CUT]
        self.unsent += self.outbox.size + len(self._unheld())
        self.outbox.clear()
        self.deadline = NEVER
        self._let_go_on()

    def _unheld(self) -> bytes:
        held, self.held = self.held, b""
        return held

    def _shut(self) -> None:
        """What waits for room in the outbox would go on only once its client has taken more: let it fail."""
        self.state = NEXT_SENDING[self.state][Act.SHUT] if self.state is not _CUT else _CUT
        self._let_go_on()

    def _linger(self, how: bytes) -> None:
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, how)

    def _give_up(self, error: Unreadable) -> None:
        """Part of what was promised cannot be sent."""
        self.fault = str(error)
        self._cut()

    def _send(self, act: Act, data: bytes) -> bool:
        """Whether nothing had to be kept."""
        if self.state is _CUT or self.state is _SHUT:
            raise ClientGone(len(data))
        self.state = NEXT_SENDING[self.state][act]
        if self._ahead:
            data, self._ahead = data[self._ahead :], 0
        if self.outbox.size:
            self._wait_for_client(len(data))
        if self.outbox.size:
            self._keep(data)
            return False
        return self._put(data)

    def _put(self, data: bytes) -> bool:
        """Send where nothing is kept before it, and keep the rest. Whether there was none."""
        try:
            sent = self._send_now(data)
        except OSError:
            self._cut()
            raise ClientGone(len(data)) from None
        if sent < len(data):
            self._keep(memoryview(data)[sent:])
        return sent == len(data)

    def _send_now(self, data: bytes) -> int:
        """How many bytes of it are sent without waiting. Raises OSError."""
        if SEND is not None and self.out is self._sock:
            return SEND(self._sock, data) or 0
        try:
            return self.out.send(data)
        except BlockingIOError:
            return 0

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
            self._waiting = waiting = unpatched.shared_lock()
            waiting.acquire()
            self._lock.release()
            try:
                if self._missed:
                    self.flush()
                waiting.acquire()
            finally:
                self._lock.acquire()
            if self.state is _CUT or self.state is _SHUT:
                raise ClientGone(unsent)

    def _let_go_on(self) -> None:
        if self._waiting is not None:
            self._waiting.release()
            self._waiting = None
