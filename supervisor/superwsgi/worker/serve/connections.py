"""A worker's connections: which ones exist, and what each of them waits for.

What is to be done next with a connection is its Step. Each step that a thread has to take has a queue here,
which owns the connections in it; service.py takes from the queues.
"""

from __future__ import annotations

import enum
import time
from collections import deque

from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.queue.queue import RequestQueue


class Step(enum.Enum):
    """What is to be done next with a connection: the result of whatever was done with it last."""

    ATTEND = "something has happened to it, or more has arrived"
    SHAKE_HANDS = "bytes have arrived for its TLS handshake"
    RUN = "its request is complete: the application can be called"
    QUEUE = "its request waits for a thread"
    SHED = "its request has waited in vain: it could not be answered in time"
    LEAVE = "its answer is held, to be sent with others"
    REST = "nothing until something happens to it: nobody owns it"
    END = "nothing more: it is closed, or in other hands"


class Connections:
    """`open`: by descriptor. `now`: when the kernel was last asked for events, monotonic ns; `done`: when the
    thread with the baton last had an answer. `taken`: how many requests that thread has taken up since `now`,
    some of which are not shown as counted."""

    __slots__ = (
        "complete", "done", "handshakes", "leaving", "now", "open", "queue", "ready", "taken", "tunnels",
    )  # fmt: skip

    def __init__(self, queue: RequestQueue) -> None:
        self.open: dict[int, Connection] = {}
        self.tunnels: dict[int, Connection] = {}  # upgraded ones, by the near end of their tunnels
        self.ready: deque[Connection] = deque()  # Step.ATTEND
        self.handshakes: deque[Connection] = deque()
        self.complete: deque[Connection] = deque()  # Step.RUN
        self.queue = queue  # Step.QUEUE
        self.leaving: deque[Connection] = deque()
        self.now = self.done = time.monotonic_ns()
        self.taken = 0

    def next_read(self) -> Connection | None:
        """The next one whose request is complete; None if there is none, as others take them, too."""
        if not self.complete:  # an error takes longer
            return None
        try:
            return self.complete.popleft()
        except IndexError:
            return None

    def withdraw(self, connection: Connection) -> bool:
        """Take one out of its turn whose request is complete; False if another thread has it."""
        try:
            self.complete.remove(connection)
        except ValueError:
            return False
        return True

    def call(self, connection: Connection) -> None:
        """Something has happened to a connection."""
        if connection.call():
            self.ready.append(connection)
