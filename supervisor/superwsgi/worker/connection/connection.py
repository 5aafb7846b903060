"""One client's connection: its socket, its parser, where it is, and who may go on with it.

At most one thread, or one queue, *owns* a connection; it alone reads, parses and changes the state. What
happens to a connection that somebody owns is a `call`, which the owner finds when it lets go. The way out is
another matter, with a lock of its own: sender.py.
"""

from __future__ import annotations

import socket
import threading
from typing import Final

from superwsgi.http.client.peers import Trusted
from superwsgi.http.client.proxy_protocol import LONGEST, read
from superwsgi.http.errors import ClientGone, ProxyHeaderError
from superwsgi.http.request.parser import Parser
from superwsgi.http.response.exchange import Exchange
from superwsgi.log.access import AccessEntry
from superwsgi.worker.connection.alarm import Alarm
from superwsgi.worker.connection.sender import Sender
from superwsgi.worker.connection.states import NEXT, Event, State

_REST: Final = Event.REST


class Connection:
    """See the module. Times are monotonic ns; `waits` is how long it may stay in a state."""

    __slots__ = (
        "_alarm", "_waits", "answered", "called", "client", "deadline", "ended", "entry",
        "exchange", "fd", "follows", "mark", "owner", "parser", "preface", "remote", "sender", "sock",
        "state",
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
        """Owned by whoever makes it."""
        self.sock = sock
        self.fd = sock.fileno()
        self.remote = remote
        self.client = ""  # as which it counts for limits.per_address
        self.parser = parser
        self.sender = sender
        self.preface = b""  # as much as is here of a PROXY protocol header
        self.state = state
        self.deadline = 0
        self.mark = 0  # bytes of a body that were here at the last look
        self.called = False  # something has happened to it, or more of it is here, since the owner looked
        self.ended = False  # the client will send nothing more: its end has to be read, too
        self.follows = _REST  # what happens when the response in hand has been sent
        self.exchange: Exchange | None = None  # of the request that the application was given
        self.answered = 0  # when the application was done with that
        self.entry: AccessEntry | None = None  # of a response that is still being sent
        self._alarm = alarm
        self._waits = waits
        self.owner = threading.Lock()  # of no thread: whoever has it may give it to another
        self.owner.acquire()

    # Who owns it.

    def take(self) -> bool:
        """Own it, unless somebody does already."""
        return self.owner.acquire(False)

    def call(self) -> bool:
        """Something has happened to it. True where the caller owns it now; else its owner will look."""
        self.called = True
        return self.owner.acquire(False)

    def let_go(self) -> bool:
        """Own it no longer. True where it has been called meanwhile, and the caller owns it once more."""
        self.owner.release()
        return self.called and self.owner.acquire(False)

    # For its owner.

    def become(self, event: Event, now: int) -> None:
        """The next state, and its deadline; KeyError where the event cannot be."""
        self.state = state = NEXT[self.state][event]
        self.deadline = deadline = now + self._waits[state]
        if deadline < self._alarm.due:
            self._alarm.no_later_than(deadline)

    def expect_end(self, exchange: Exchange) -> None:
        """When this response has been sent the connection ends, if it is the last: by LAST, or by CLOSE where
        that is what the client has asked for."""
        if not exchange.keep_alive:
            self.follows = Event.LAST if exchange.request.keep_alive else Event.CLOSE

    def introduce(self, trusted: Trusted) -> bool:
        """Take what is here of the PROXY protocol header, and no byte behind it; True once it is complete.

        Raises BlockingIOError where nothing is here yet, another OSError where the peer has gone, and
        ProxyHeaderError where it is no such header.
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

    def has_spoken(self) -> bool:
        """Whether there are bytes that nobody has read yet."""
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def close_in_child(self) -> None:
        """In a child that the application forked."""
        self.sock.close()
        self.sender.close_in_child()
