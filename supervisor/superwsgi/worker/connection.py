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

from superwsgi.http.errors import ClientGone, ProxyHeaderError
from superwsgi.http.files import Span
from superwsgi.http.parser import Parser
from superwsgi.http.peers import Trusted
from superwsgi.http.proxy_protocol import LONGEST, read
from superwsgi.worker.alarm import Alarm
from superwsgi.worker.outbox import Outbox
from superwsgi.worker.states import NEXT, Event, State
from superwsgi.worker.transport import Out, Tls

LISTENING: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
SPEAKING: Final = LISTENING | select.EPOLLOUT

_RESET: Final = b"\1\0\0\0\0\0\0\0"  # struct linger {1, 0}, socket(7): close() sends a reset


class Connection:
    """See the module. Times are monotonic ns; `waits` is how long it may stay in a state."""

    __slots__ = (
        "_alarm", "_epoll", "_room", "_waits", "begun", "deadline", "ended", "fd", "gone", "last", "mark",
        "out", "outbox", "owner", "parser", "pending", "preface", "remote", "satisfied", "sock", "spoke",
        "state", "tls", "writing",
    )  # fmt: skip

    def __init__(
        self,
        sock: socket.socket,
        remote: str,
        parser: Parser,
        epoll: select.epoll,
        alarm: Alarm,
        waits: dict[State, int],
    ) -> None:
        self.sock = sock
        self.out: Out = sock
        self.tls: Tls | None = None
        self.fd = sock.fileno()
        self.remote = remote
        self.parser = parser
        self.preface = b""  # as much as is here of a PROXY protocol header
        self.state = State.IDLE
        self.deadline = 0
        self.owner = threading.Lock()
        self.pending = False
        self.ended = False  # the client will send nothing more
        self.writing = threading.Lock()
        self.outbox = Outbox()
        self.begun = False  # some of the present response has been sent
        self.spoke = 0  # when the application last sent a piece of it
        self.last = False  # it is the connection's last
        self.satisfied = False  # the client asked for no more: nothing it sent is unread
        self.gone = False  # nothing more can be sent
        self.mark = 0  # progress in bytes at the last look, for deadlines that ask for some
        self._epoll = epoll
        self._alarm = alarm
        self._waits = waits
        self._room: threading.Condition | None = None

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
        with self.writing:
            if self.gone:
                raise ClientGone
            self.begun = True
            if self.outbox.size:
                self._wait_for_room()
                self.outbox.put(data)
                return
            try:
                sent = self.out.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._cut()
                raise ClientGone from None
            if sent < len(data):
                self.outbox.put(memoryview(data)[sent:])
                self._block()

    @property
    def followed(self) -> bool:
        """Whether the next request is here already."""
        return bool(self.parser.requests)

    def send_piece(self, data: bytes) -> None:
        """Like send, and a sign of life from the application."""
        self.send(data)
        self.spoke = time.monotonic_ns()

    def send_file(self, span: Span) -> None:
        """Like send, with bytes of a file."""
        with self.writing:
            if self.gone:
                raise ClientGone
            self.begun = True
            if span.size == 0:
                return
            empty = self.outbox.size == 0
            self.outbox.put_file(span)
            if empty:
                self._flush()
                if self.outbox.size:
                    self._block()

    def flush(self) -> bool:
        """Send what is kept; True where the client would take more now."""
        with self.writing:
            if self.gone or self.outbox.size == 0:
                return True
            more = self._flush()
            if self._room is not None:
                self._room.notify_all()
            if self.outbox.size == 0 and not self.gone:
                self._epoll.modify(self.fd, LISTENING)
            return more

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

    def cut(self, *, reset: bool = False) -> None:
        """Send nothing more, whoever still wants to; `reset` tells the client that it has not got all."""
        with self.writing:
            self._cut()
            if reset:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def _cut(self) -> None:
        self.gone = True
        self.outbox.clear()
        if self._room is not None:
            self._room.notify_all()

    def _flush(self) -> bool:
        try:
            more = self.outbox.flush(self.out)
        except OSError:
            self._cut()
            return True
        self.deadline = time.monotonic_ns() + self._waits[State.SENDING]
        return more

    def _block(self) -> None:
        """From here on the poller is told when the client takes more."""
        self.deadline = time.monotonic_ns() + self._waits[State.SENDING]
        self._alarm.no_later_than(self.deadline)
        self._epoll.modify(self.fd, SPEAKING)

    def _wait_for_room(self) -> None:
        if self._room is None and self.outbox.full:
            self._room = threading.Condition(self.writing)
        while self._room is not None and self.outbox.full:
            self._room.wait()
            if self.gone:
                raise ClientGone
