"""The states of a connection's two sides. Every change goes through a table; a pair that is absent is a bug.

The owner's side, where a connection is: State, Event, NEXT. Only the connection's owner changes it (see
connection.py). The client's side, how much of the response in hand it has been sent: Sending, Act,
NEXT_SENDING. Only the holder of the sender's lock changes it (see sender.py).
"""

from __future__ import annotations

import enum
from typing import Final

from superwsgi.config.sections import Timeouts
from superwsgi.worker.connection.alarm import NEVER, SECOND, deadline_after

LINGER: Final = 2 * SECOND
"""How long a client may keep sending after its last response before the connection is closed on it."""


class State(enum.Enum):
    """Where a connection is; each state except RUNNING, UPGRADED, SENDING and CLOSED has a
    deadline."""

    __hash__ = object.__hash__  # Enum's own is Python code, and NEXT is on the hot path

    PROXY = "a proxy has yet to say whose connection this is"
    HANDSHAKE = "TLS is being negotiated"
    NEW = "accepted, and silent so far"
    IDLE = "between two requests"
    HEAD = "a request's head is arriving"
    BODY = "its body is arriving"
    QUEUED = "it is complete and waits for a thread"
    RUNNING = "a thread is in the application with it"
    UPGRADED = "the application has taken it over, and speaks another protocol"
    SENDING = "the client has not yet taken all of the response"
    LINGERING = "the last response has been sent; whatever the client still sends is thrown away"
    CLOSED = "closed"


class Event(enum.Enum):
    """What happens to a connection."""

    __hash__ = object.__hash__

    INTRODUCE = "the proxy has said whose it is"
    SECURE = "and its client will speak TLS"
    HEAD = "bytes that leave a head unfinished"
    BODY = "bytes that leave a body unfinished"
    QUEUE = "a complete request, but no free thread"
    RUN = "a thread takes a complete request"
    UPGRADE = "the application takes it over"
    REST = "nothing is left to be sent, a request may come"
    BLOCK = "the client takes no more for now"
    LAST = "the response is sent, and was the last"
    CLOSE = "nothing more to say or to hear"


_READING: Final = {
    Event.HEAD: State.HEAD,
    Event.BODY: State.BODY,
    Event.QUEUE: State.QUEUED,
    Event.RUN: State.RUNNING,
    Event.BLOCK: State.SENDING,  # a refusal
    Event.LAST: State.LINGERING,
    Event.CLOSE: State.CLOSED,
}
_ANSWERED: Final = {
    Event.REST: State.IDLE,
    Event.LAST: State.LINGERING,
    Event.CLOSE: State.CLOSED,
}

NEXT: Final[dict[State, dict[Event, State]]] = {
    State.PROXY: {
        Event.INTRODUCE: State.NEW,
        Event.SECURE: State.HANDSHAKE,
        Event.CLOSE: State.CLOSED,
    },
    State.HANDSHAKE: {
        Event.REST: State.NEW,
        Event.BLOCK: State.SENDING,  # a refusal in plain HTTP
        Event.LAST: State.LINGERING,
        Event.CLOSE: State.CLOSED,
    },
    State.NEW: _READING,
    State.IDLE: _READING,
    State.HEAD: _READING,
    State.BODY: _READING,
    State.QUEUED: {
        Event.RUN: State.RUNNING,
        Event.BLOCK: State.SENDING,
        Event.LAST: State.LINGERING,
        Event.CLOSE: State.CLOSED,
    },
    State.RUNNING: {**_ANSWERED, Event.BLOCK: State.SENDING, Event.UPGRADE: State.UPGRADED},
    State.UPGRADED: {Event.LAST: State.LINGERING, Event.CLOSE: State.CLOSED},
    State.SENDING: _ANSWERED,
    State.LINGERING: {Event.CLOSE: State.CLOSED},
    State.CLOSED: {},
}


class Sending(enum.Enum):
    """How much of the response in hand the client has been sent."""

    __hash__ = object.__hash__

    UNSENT = "nothing"
    BEGUN = "some of it"
    HELD = "its end is ready, and waits to be sent with other answers"
    SENT = "all of it, or the rest is in the outbox"
    SHUT = "some of it, and what is in the outbox: the application may send no more"
    CUT = "cut off: the client gets nothing more on this connection"


class Act(enum.Enum):
    """What is done with a response."""

    __hash__ = object.__hash__

    ANSWER = "the application is called for the next one"
    SEND = "some of it is sent"
    HOLD = "the end of it is held"
    END = "the end of it is sent"
    SHUT = "it ends before it is complete"
    CUT = "nothing more is sent"


_OPEN: Final = {
    Act.ANSWER: Sending.UNSENT,
    Act.SEND: Sending.BEGUN,
    Act.HOLD: Sending.HELD,
    Act.END: Sending.SENT,
    Act.SHUT: Sending.SHUT,
    Act.CUT: Sending.CUT,
}
NEXT_SENDING: Final[dict[Sending, dict[Act, Sending]]] = {
    Sending.UNSENT: _OPEN,
    Sending.BEGUN: _OPEN,
    Sending.HELD: {Act.END: Sending.SENT, Act.SHUT: Sending.SHUT, Act.CUT: Sending.CUT},
    Sending.SENT: {
        Act.ANSWER: Sending.UNSENT,
        Act.SEND: Sending.BEGUN,  # a refusal of what follows it
        Act.SHUT: Sending.SHUT,
        Act.CUT: Sending.CUT,
    },
    Sending.SHUT: {Act.SHUT: Sending.SHUT, Act.CUT: Sending.CUT},
    Sending.CUT: {Act.ANSWER: Sending.CUT, Act.CUT: Sending.CUT},
}


def waits(timeouts: Timeouts) -> dict[State, int]:
    """How long a connection may stay in a state, ns. While RUNNING the thread has a deadline
    instead, and while the client has yet to take something, the sender has one."""
    idle, head = int(timeouts.keepalive * SECOND), deadline_after(timeouts.head)
    return {
        State.PROXY: deadline_after(timeouts.proxy),
        State.HANDSHAKE: head,
        State.NEW: min(head, max(idle, SECOND)),
        State.IDLE: idle,
        State.HEAD: head,
        State.BODY: deadline_after(timeouts.body),
        State.QUEUED: deadline_after(timeouts.queue),
        State.RUNNING: NEVER,
        State.UPGRADED: NEVER,
        State.SENDING: NEVER,
        State.LINGERING: LINGER,
        State.CLOSED: NEVER,
    }
