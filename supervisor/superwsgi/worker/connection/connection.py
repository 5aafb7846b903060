"""One client's connection: its socket, its parser, what is still to be sent, and who may touch it.

`owner` is a lock without a thread: whoever acquired it (a thread that reads, or the queue of requests that
wait for one) is the only one to read, parse and change the state. An event for a connection that somebody
owns leaves a mark, `pending`; the owner looks at it after letting go. `writing` guards the way out alone, so
that whoever polls can send on while the application is still producing.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from typing import Final

from superwsgi.http.client.peers import Trusted
from superwsgi.http.client.proxy_protocol import LONGEST, read
from superwsgi.http.errors import ClientGone, ProxyHeaderError
from superwsgi.http.request.parser import Parser
from superwsgi.http.response.files import Span, Unreadable, read_span
from superwsgi.log.access import AccessEntry
from superwsgi.tls.interface import Out, Tls
from superwsgi.worker import forks
from superwsgi.worker.connection.alarm import Alarm
from superwsgi.worker.connection.outbox import Outbox
from superwsgi.worker.connection.states import NEXT, Event, State
from superwsgi.worker.connection.storage import Stores

CLIENT_CLOSED: Final = "client closed"
CLIENT_TOO_SLOW: Final = "client too slow"

LISTENING: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
SPEAKING: Final = LISTENING | select.EPOLLOUT

_COPIED: Final = 256 << 10
"""Bytes of a file that are read at once, where it has to be copied."""

_HELD: Final = 16 << 10
"""Bytes of a response that may wait for others; sending more takes so long that nothing is won."""

NO_LEASE: Final[list[None]] = []


class _Returned:
    """Where the answer of a forked child would go: it is its parent's to give."""

    def send(self, data: bytes | memoryview, /) -> int:
        forks.came_back()


_RESET: Final = b"\1\0\0\0\0\0\0\0"  # struct linger {1, 0}, socket(7): close() sends a reset


class Connection:
    """See the module. Times are monotonic ns; `waits` is how long it may stay in a state."""

    __slots__ = (
        "_alarm", "_epoll", "_missed", "_room", "_waits", "begun", "client", "deadline", "ended", "entry",
        "fault", "fd", "gone", "held", "last", "lease", "loss", "mark", "out", "outbox", "owner", "parser",
        "pending", "preface", "remote", "satisfied", "sock", "spoke", "state", "tls", "unsent", "writing",
    )  # fmt: skip

    def __init__(
        self,
        sock: socket.socket,
        remote: str,
        parser: Parser,
        epoll: select.epoll,
        alarm: Alarm,
        waits: dict[State, int],
        stores: Stores,
    ) -> None:
        self.sock = sock
        self.out: Out = sock
        self.tls: Tls | None = None
        self.fd = sock.fileno()
        self.remote = remote
        self.client = ""  # as which it counts for limits.per_address
        self.parser = parser
        self.preface = b""  # as much as is here of a PROXY protocol header
        self.state = State.NEW
        self.deadline = 0
        self.owner = threading.Lock()
        self.pending = False
        self.ended = False  # the client will send nothing more
        self.writing = threading.Lock()
        self.outbox = Outbox(stores)
        self.begun = False  # some of the present response has been sent
        self.lease = NO_LEASE  # while there is one, the end of it may wait for the answers of others
        self.held = b""  # what does
        self.spoke = 0  # when the application last sent a piece of it
        self.last = False  # it is the connection's last
        self.satisfied = False  # the client asked for no more: nothing it sent is unread
        self.gone = False  # nothing more can be sent
        self.loss = CLIENT_CLOSED  # why so
        self.fault = ""  # why so, where it is not the client's doing
        self.unsent = 0  # bytes that were given up
        self.entry: AccessEntry | None = None  # of a response that is still being sent
        self.mark = 0  # progress in bytes at the last look, for deadlines that ask for some
        self._epoll = epoll
        self._alarm = alarm
        self._waits = waits
        self._missed = False  # the poller would have sent, but somebody was writing
        self._room: threading.Lock | None = None  # released when there is some

    def introduce(self, trusted: Trusted) -> bool:
        """Take what is here of the PROXY protocol header, and no byte behind it; True once it is complete.

        Raises BlockingIOError where nothing is here yet, another OSError where the peer has gone, and
        ProxyHeaderError where it is no such header.
        """
        data = self.sock.recv(LONGEST, socket.MSG_PEEK)
        if not data:
            raise ProxyHeaderError("ended within the PROXY protocol header") if self.preface else ClientGone
        preface = self.preface + data
        who = read(preface)
        left = (len(preface) if who is None else who.size) - len(self.preface)
        while left:
            left -= len(self.sock.recv(left))
        self.preface = preface if who is None else b""
        if who is None:
            return False
        self.parser.introduce(who, trusted)
        if who.relayed:
            self.remote = who.client[0] if who.client else ""
        return True

    def secure(self, tls: Tls) -> None:
        """A new connection speaks TLS: it begins with a handshake."""
        self.out = self.tls = tls
        self.state = State.HANDSHAKE

    def stay_plain(self) -> None:
        """Its client does not speak TLS."""
        self.out, self.tls = self.sock, None

    def part(self) -> None:
        """Tell the client that nothing more follows, where all has been sent and TLS has a word for it."""
        with self.writing:
            if self.tls is not None and self.outbox.size == 0 and not self.gone:
                self.tls.part()

    def has_spoken(self) -> bool:
        """Whether there are bytes that nobody has read yet."""
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def become(self, event: Event, now: int) -> None:
        """The next state, and its deadline; KeyError where the event cannot be."""
        self.state = state = NEXT[self.state][event]
        self.deadline = deadline = now + self._waits[state]
        if deadline < self._alarm.due:
            self._alarm.no_later_than(deadline)

    def send(self, data: bytes) -> None:
        """Send, or keep for whoever polls. Raises ClientGone."""
        self.writing.acquire()  # a `with` takes twice as long, and this is once a request
        try:
            done = self._send(data)
        finally:
            self.writing.release()
        if not done and self._missed:
            self.flush()

    @property
    def followed(self) -> bool:
        """Whether the next request is here already."""
        return bool(self.parser.requests)

    def send_piece(self, data: bytes) -> None:
        """Like send, and a sign of life from the application."""
        self.send(data)
        self.spoke = time.monotonic_ns()

    def send_last(self, data: bytes) -> None:
        """Like send, with the end of a response: during a `lease` it is held until `release`."""
        if not self.lease or len(data) > _HELD or self.outbox.size:
            self.send(data)
            return
        if self.gone:
            raise ClientGone(len(data))
        self.begun = True
        self.held = data
        if not self.lease:  # since we looked; whoever took it may have found nothing held
            self.release()

    def release(self) -> None:
        """Send what is held, unless the client has `gone`; where nothing is held, all has been sent."""
        self.writing.acquire()
        try:
            done = not self.held or self._send(self.held)
            self.held = b""
        except ClientGone:
            done = True
        finally:
            self.writing.release()
        if not done and self._missed:
            self.flush()

    def send_file(self, span: Span) -> None:
        """Like send, with bytes of a file."""
        if span.size and not self._put_file(span):
            self._send_copies(span)
        if self._missed:
            self.flush()

    def flush(self) -> None:
        """Send what is kept. Whoever is writing meanwhile does it in our place, so nobody waits."""
        self._missed = True
        while self._missed and self.writing.acquire(False):
            try:
                self._missed = False
                self._flush()
            finally:
                self.writing.release()

    def overrule(self, response: bytes) -> bool:
        """Let nobody else send any more. Send `response` where nothing was sent before; False where it is too
        late for that, and the client is told by a reset that it has not got all."""
        with self.writing:
            late = self.gone or self.begun
            if not late:
                with contextlib.suppress(OSError):
                    self.out.send(response)
            self._cut()
            if late:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            return not late

    def cut(self, loss: str = CLIENT_CLOSED, *, reset: bool = False) -> None:
        """Send nothing more, whoever still wants to; `reset` tells the client that it has not got all."""
        with self.writing:
            if not self.gone:
                self.loss = loss
            self._cut()
            if reset:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def close_in_child(self) -> None:
        """In a child that the application forked, whose other threads are not there to release locks."""
        self.sock.close()
        self.writing = threading.Lock()
        self.outbox.close_in_child()
        self.lease, self.held = NO_LEASE, b""
        self.out = _Returned()

    # For who holds `writing`.

    def _cut(self) -> None:
        self.gone = True
        self.unsent += self.outbox.size + len(self.held)
        self.held = b""
        self.outbox.clear()
        self._tell_of_room()

    def _give_up(self, error: Unreadable) -> None:
        """Of what was promised, some cannot be sent."""
        self.fault = str(error)
        self._cut()

    def _send(self, data: bytes) -> bool:
        """Whether nothing had to be kept."""
        if self.gone:
            raise ClientGone(len(data))
        self.begun = True
        if self.outbox.size:
            self._wait_for_room(len(data))
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
        if self.gone or self.outbox.size == 0:
            return
        try:
            more = self.outbox.flush(self.out)
        except Unreadable as error:
            self._give_up(error)
            return
        except OSError:
            self._cut()
            return
        self._tell_of_room()
        if self.outbox.size == 0:
            self._epoll.modify(self.fd, LISTENING)
        elif more:
            self._epoll.modify(self.fd, SPEAKING)  # another event, behind those of others

    def _keep(self, data: bytes | memoryview) -> None:
        """What the client does not take now."""
        empty = self.outbox.size == 0
        self.outbox.put(data)
        if empty:
            self._block()
        if self.outbox.strained:
            self._wait_for_room(0)

    def _put_file(self, span: Span) -> bool:
        """False where there is no descriptor left to keep the file open with."""
        with self.writing:
            if self.gone:
                raise ClientGone(span.size)
            self.begun = True
            empty = self.outbox.size == 0
            try:
                self.outbox.put_file(span)
            except OSError:
                return False
            if empty:
                self._flush()
                if self.outbox.size:
                    self._block()
            return True

    def _send_copies(self, span: Span) -> None:
        """Of a file that only the application keeps open: it has to wait for its client."""
        at, end = span.offset, span.offset + span.size
        while at < end:
            try:
                data = read_span(Span(span.fd, at, min(end - at, _COPIED)))
            except Unreadable as error:
                with self.writing:
                    self.unsent += end - at
                    self._give_up(error)
                return
            self.send_piece(data)
            at += len(data)

    def _block(self) -> None:
        """From here on the poller is told when the client takes more."""
        self.mark = self.outbox.sent
        self.deadline = time.monotonic_ns() + self._waits[State.SENDING]
        self._alarm.no_later_than(self.deadline)
        self._epoll.modify(self.fd, SPEAKING)

    def _wait_for_room(self, unsent: int) -> None:
        """Until the application may say more, or raise ClientGone: the watch ends who takes too little."""
        while self.outbox.full:
            self._room = room = threading.Lock()
            room.acquire()
            self.writing.release()
            try:
                if self._missed:
                    self.flush()
                room.acquire()
            finally:
                self.writing.acquire()
            if self.gone:
                raise ClientGone(unsent)

    def _tell_of_room(self) -> None:
        if self._room is not None:
            self._room.release()
            self._room = None
