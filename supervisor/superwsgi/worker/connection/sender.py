"""The client's side of a connection: what it is sent, through TLS if it speaks that, and what it has yet to
take.

One lock guards all of it, so that the polling thread can keep sending while the application is still
producing, in any thread. `state` says how much of the response in hand has gone, by the table in states.py.
"""

from __future__ import annotations

import time
from typing import Final

from superwsgi import unpatched
from superwsgi.http.errors import ClientGone
from superwsgi.http.files import Span, Unreadable, read_span
from superwsgi.tls.interface import Tls
from superwsgi.worker import forks
from superwsgi.worker.connection.alarm import SECOND
from superwsgi.worker.connection.delivery import CLIENT_CLOSED, NO_LEASE, Delivery
from superwsgi.worker.connection.states import NEXT_SENDING, Act, Sending

CLIENT_TOO_SLOW: Final = "client too slow"

RATE: Final = 500
"""The minimum rate, in bytes a second, of a body that arrives and of a response that waits for its client, on
average over each `timeouts.body` and `timeouts.send`. Slower than any modem, faster than a client that only
holds on: without it an occasional byte would keep a connection, everything stored for it, and the thread of
an application that streams, forever. Apache's RequestReadTimeout demands the same of bodies, IIS 240 both
ways."""

_COPIED: Final = 256 << 10
"""Bytes of a file that are read at a time, if it has to be copied."""

_HELD: Final = 16 << 10
"""Bytes of a response that may wait for others; sending more takes so long that nothing is gained."""

_RESET: Final = b"\1\0\0\0\0\0\0\0"  # struct linger {1, 0}, socket(7): close() sends a reset

_HOLDING: Final = Sending.HELD
_CUT: Final = Sending.CUT
_SHUT: Final = Sending.SHUT
_ANSWER: Final = Act.ANSWER
_SEND: Final = Act.SEND
_HOLD: Final = Act.HOLD
_END: Final = Act.END


def fast_enough(moved: int, period: int) -> bool:
    """Whether `moved` bytes in `period` ns reach RATE."""
    return moved >= RATE * period // SECOND


class Sender(Delivery):
    """See the module."""

    __slots__ = ()

    @property
    def gone(self) -> bool:
        """Whether the application can send no more."""
        return self.cut_off or self.state is _SHUT

    @property
    def cut_off(self) -> bool:
        """Whether nothing more reaches the client."""
        if self._lost:
            self.lose()
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
        """Tell the client that nothing more follows, if everything has been sent and it speaks TLS. Not after
        a response that is incomplete."""
        with self._lock:
            if self.tls is not None and self.outbox.size == 0 and self.state not in (_CUT, _SHUT):
                self.tls.part()

    # The response in hand. Sending raises ClientGone.

    def begin(self, lease: list[None]) -> None:
        """The application is called for the next response."""
        self._lock.acquire()  # a `with` takes twice as long, and this runs for every request
        self.state = NEXT_SENDING[self.state][_ANSWER]
        self.lease = lease
        self._lock.release()

    def sound(self) -> None:
        """A client whose request waits has closed its side. It may only have nothing more to say, or be gone;
        TCP does not tell. So send it what every response begins with: if it has gone, its system answers with
        a reset, which the poller is told of."""
        with self._lock:
            self._sound()

    def stream(self) -> None:
        """The application may let its client wait for the next piece. Whether that is there can be found out
        once; then the system looks after it (`watch_over` in connection.py)."""
        if not self.doubted:
            return
        with self._lock:
            if self.state is Sending.UNSENT:
                self._sound()
            elif self.state is Sending.BEGUN and self.void and not self.outbox.size:
                void, self.void = self.void, b""
                self._try(void)

    def send(self, data: bytes) -> None:
        """Send, or keep for the polling thread."""
        self._send_as(_SEND, data)

    def send_interim(self, data: bytes) -> None:
        """Send a response that comes before the one in hand (RFC 9110 section 15.2), unless that has begun:
        which it has, too, once the client is slow to take this."""
        with self._lock:
            if self.state is Sending.UNSENT and not self.outbox.size and self._send(_SEND, data):
                self.state = NEXT_SENDING[self.state][_ANSWER]

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
        gone = self.state is _CUT or self.state is _SHUT
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

    def step_aside(self) -> int | None:
        """The application is to send on the socket itself: how many bytes of its response have been sent
        already, None if that cannot be."""
        with self._lock:
            if self.tls is not None or self.outbox.size:
                return None
            self.elsewhere = True
            return self._ahead

    # How it ends.

    def end_with_connection(self, on: bool) -> None:
        """Whether the client takes the end of the connection for that of the response, from now on: then
        anything but the end of a whole one has to be a reset (RFC 9112 section 8), if only because this
        process is killed."""
        with self._lock:
            if self.state is not _CUT and self.state is not _SHUT:
                self.resets = on
                self._linger(_RESET if on else bytes(len(_RESET)))

    def overrule(self, response: bytes) -> bool:
        """Let the application send no more. Send `response` if nothing was sent before; False if it is too
        late for that: then the response is incomplete, and the client gets what is left of it."""
        with self._lock:
            in_time = self.state is Sending.UNSENT
            try:
                if in_time:
                    self._send(_END, response)
                elif self.state is _HOLDING:
                    self._send(_END, self._unheld())
            except ClientGone:
                return in_time
            self._shut()
            return in_time

    def shut(self) -> None:
        """Let the application send no more of its response, which is incomplete."""
        with self._lock:
            self._shut()

    def cut(self, loss: str = CLIENT_CLOSED, *, reset: bool = False) -> None:
        """Send nothing more, from any thread; `reset` tells the client that its response is incomplete."""
        with self._lock:
            if self.state is not _CUT:
                self.loss = loss
            self._cut()
            if reset:
                self._linger(_RESET)

    def lose(self) -> None:
        """The client has left. If something waits to be sent, sending it will fail and inform any waiting
        thread. Another thread that has the lock may have sent its last before the client left: it finds out
        when it asks, as the system says this once."""
        self._lost = True
        if self._lock.acquire(False):
            self._lost = False
            if self.outbox.size == 0:
                self._cut()
            self._lock.release()

    def close_in_child(self) -> None:
        """In a child that the application forked, which lacks the threads that would release locks."""
        self._lock = unpatched.shared_mutex()
        self.outbox.close_in_child()
        self.lease, self.held = NO_LEASE, b""
        self.out = forks.Returned()

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
            if self.state is _CUT or self.state is _SHUT:
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
