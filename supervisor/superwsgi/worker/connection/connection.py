"""One client's connection: its socket, its parser, its state, and who may work on it.

At most one thread, or one queue, *owns* a connection; only the owner reads, parses and changes the state. An
event for a connection that is owned is a `call`, which the owner finds when it lets go. Sending has a lock of
its own: sender.py.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from fcntl import ioctl
from termios import FIONREAD
from typing import Final

from superwsgi import unpatched
from superwsgi.core.chosen import RECEIVE
from superwsgi.http.client.peers import Trusted
from superwsgi.http.client.proxy_protocol import LONGEST, read
from superwsgi.http.errors import ClientGone, ProxyHeaderError
from superwsgi.http.request.parser import Parser
from superwsgi.http.request.rules import RequestRule
from superwsgi.http.response.exchange import Exchange
from superwsgi.log.access import AccessEntry
from superwsgi.worker.connection.alarm import Alarm
from superwsgi.worker.connection.passage import Passage
from superwsgi.worker.connection.sender import Sender
from superwsgi.worker.connection.states import NEXT, Event, State

_REST: Final = Event.REST

_NOTHING: Final = bytes(4)
"""What FIONREAD says of a socket without unread bytes: ioctl_tty(2). To peek instead raises an error, which
takes ten times as long; and so does to give ioctl() something that it cannot write to, as it raises one
inside, and then copies."""


QUIET: Final = 20
PROBE: Final = 10
PROBES: Final = 3
"""A client that is silent for QUIET seconds is asked by the system whether it is there, every PROBE seconds,
and is gone after so many PROBES without an answer: one that has vanished without a word after 50 s, and one
that has closed its side first, and all of its socket later, once its own system has forgotten it (60 s with
Linux). It costs a packet, and applications nothing."""


def watch_over(listener: socket.socket) -> None:
    """Prepare what the connections of a listener inherit from it."""
    if listener.family == socket.AF_UNIX:
        return
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = socket.TCP_NODELAY, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT
    for option, value in zip(options, (1, QUIET, PROBE, PROBES), strict=True):
        listener.setsockopt(socket.IPPROTO_TCP, option, value)


class Connection:
    """See the module. Times are monotonic ns; `waits` says how long it may stay in each state."""

    __slots__ = (
        "_alarm", "_waits", "answered", "arrived", "called", "client", "deadline", "ended", "entry",
        "exchange", "fd", "follows", "for_checks", "mark", "noticed", "owner", "page", "parser", "passage",
        "preface", "remote", "rule", "sender", "sock", "state",
    )  # fmt: skip

    def __init__(
        self,
        sock: socket.socket,
        remote: str,
        parser: Parser,
        sender: Sender,
        state: State,
        alarm: Alarm,
        waits: dict[State, int],
    ) -> None:
        """Owned by its maker."""
        self.sock = sock
        self.fd = sock.fileno()
        self.remote = remote
        self.client = ""  # the client it counts for in limits.per_address
        self.parser = parser
        self.sender = sender
        self.preface = b""  # as much of a PROXY protocol header as has arrived
        self.state = state
        self.for_checks = False  # it came by an address of health.bind
        self.deadline = 0
        self.mark = 0  # bytes of a body that had arrived at the last look
        self.called = False  # something has happened to it, or more has arrived, since the owner looked
        self.noticed = 0  # when the kernel last told of it
        self.ended = False  # the client will send nothing more: the end of its stream has to be read too
        self.follows = _REST  # what follows when the response in hand has been sent
        self.exchange: Exchange | None = None  # of the request given to the application
        self.passage: Passage | None = None  # to the application that has taken it over
        self.arrived = 0  # when the request in hand had arrived completely
        self.answered = 0  # when the application was done with it
        self.entry: AccessEntry | None = None  # of a response that is still being sent
        self.rule: RequestRule | None = None  # of its request
        self.page = b""  # what that is for
        self._alarm = alarm
        self._waits = waits
        self.owner = unpatched.Mutex()  # not bound to a thread: its holder may pass it to another
        self.owner.acquire()

    # Who owns it.

    def take(self) -> bool:
        """Own it, unless it has an owner already."""
        return self.owner.acquire(False)

    def call(self) -> bool:
        """Something has happened to it. True if the caller owns it now; else its owner will look."""
        self.called = True
        return self.owner.acquire(False)

    def let_go(self) -> bool:
        """Stop owning it. True if it has been called meanwhile, and the caller owns it again."""
        self.owner.release()
        return self.called and self.owner.acquire(False)

    # For its owner.

    def become(self, event: Event, now: int) -> None:
        """Take the next state and set its deadline. Raises KeyError if the event is impossible."""
        self.state = state = NEXT[self.state][event]
        self.deadline = deadline = now + self._waits[state]
        if deadline < self._alarm.due:
            self._alarm.no_later_than(deadline)

    def expect_end(self, exchange: Exchange) -> None:
        """If this response is the last, the connection ends once it is sent: by LAST, or by CLOSE if the
        client asked for that."""
        if not exchange.keep_alive:
            self.follows = Event.LAST if exchange.request.keep_alive else Event.CLOSE

    def introduce(self, trusted: Trusted) -> bool:
        """Read what has arrived of the PROXY protocol header, and no byte after it; True once it is complete.

        Raises BlockingIOError if nothing has arrived yet, another OSError if the peer has gone, and
        ProxyHeaderError if it is not such a header.
        """
        data = self.sock.recv(LONGEST, socket.MSG_PEEK)
        if not data:
            raise ProxyHeaderError("ended inside the PROXY protocol header") if self.preface else ClientGone
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

    def receive(self, size: int) -> bytes | None:
        """What has arrived, at most so many bytes; None if nothing has. Raises OSError."""
        if RECEIVE is not None:
            return RECEIVE(self.sock, size)
        try:
            return self.sock.recv(size)
        except BlockingIOError:
            return None

    def has_spoken(self) -> bool:
        """Whether unread bytes have arrived."""
        unread = bytearray(_NOTHING)
        try:
            ioctl(self.fd, FIONREAD, unread)
        except OSError:
            return False
        return unread != _NOTHING

    def forget(self) -> None:
        """Throw away what has arrived."""
        with suppress(OSError):
            self.sock.recv(64 << 10, socket.MSG_DONTWAIT)

    def shut(self) -> None:
        """Close it for good."""
        if self.passage is not None:
            self.passage.release()
        self.sock.close()

    def close_in_child(self) -> None:
        """In a child that the application forked."""
        self.sock.close()
        self.sender.close_in_child()
        if self.passage is not None:
            self.passage.close_in_child()
