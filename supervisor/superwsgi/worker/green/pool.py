"""Greenlets that run the application: one for each request in it, and those that have run one lately.

A WorkerGreenlet stands where a thread stands: in the log, on the scoreboard, for deadlines. All of them, and
who polls, take turns in one thread; each goes on until it waits for something.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from greenlet import greenlet

from superwsgi import unpatched
from superwsgi.board.thread_record import InHandWriter, ThreadWriter
from superwsgi.log.frames import At
from superwsgi.worker.connection.alarm import NEVER
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.green import standing
from superwsgi.worker.green.ended import RequestEnded
from superwsgi.worker.green.whole import WholeSocket
from superwsgi.worker.threads.pool import Pool
from superwsgi.worker.threads.thread import OURS, WorkerThread


class WorkerGreenlet(WorkerThread):
    """`given` is the connection whose request it is to run next; None while it rests, and if it is to end."""

    __slots__ = ("_greenlet", "_hub", "_native_id", "given")

    def __init__(
        self,
        number: int,
        counts: ThreadWriter,
        work: Callable[[WorkerThread], None],
        hub: Any,
        record: InHandWriter | None = None,
    ) -> None:
        super().__init__(number, counts, work, record)
        self.given: Connection | None = None
        self._hub = hub
        self._native_id = unpatched.get_native_id()  # they are made in the thread that they run in
        self._greenlet = greenlet(partial(standing.live, self), hub)

    def start(self) -> None:
        """It begins when it is switched to."""

    def live(self) -> None:
        here: Any = threading.current_thread()
        here.name = f"greenlet-{self.number}"
        here._daemonic = False  # or what the application starts from it would be, and end unfinished
        OURS.add(here)
        super().live()

    def go_on(self) -> None:
        """Let it run, when it is its turn."""
        self._hub.loop.run_callback(self._greenlet.switch)

    def switch(self) -> None:
        """Let it run now. Called by the hub."""
        self._greenlet.switch()

    @property
    def ident(self) -> int:
        return id(self._greenlet)

    @property
    def native_id(self) -> int:
        return self._native_id

    @property
    def name(self) -> str:
        return f"greenlet-{self.number}"

    @property
    def runs(self) -> bool:
        return standing.runs(self._greenlet)

    def at(self, of_threads: Mapping[int, At]) -> At | None:
        return standing.place_of(self._greenlet, of_threads.get(self._hub.thread_ident))

    def is_alive(self) -> bool:
        return not self._greenlet.dead

    def awake(self) -> float | None:
        return None

    def end_request(self) -> None:
        """Raise RequestEnded where it waits."""
        self._hub.loop.run_callback(self._end)

    def _end(self) -> None:
        if self._greenlet and self.connection is not None:
            self._greenlet.throw(RequestEnded())


class GreenPool(Pool):
    """See Pool; there is always room for one more greenlet, up to `bounds.max`."""

    _hub: Any
    _counts: ThreadWriter
    _resting: deque[WorkerGreenlet]  # a stack; those at its bottom can end
    _handed: deque[Connection]  # for whoever rests next

    def begin(self, hub: Any, work: Callable[[WorkerThread], None]) -> WorkerGreenlet:
        """Serve with this hub; returns who polls, which does `work`. Called once, before all else."""
        self.hands_over = True
        self.replaced = "ended where it waits"
        self._least = 0
        self._resting, self._handed = deque(), deque()
        self._hub = hub
        self._counts = self._board.thread(0)
        poller = WorkerGreenlet(self._numbers.pop(), self._counts, work, hub)
        poller.has_baton = True  # and shows in each of its turns what all have counted
        return poller

    def start(self) -> None:
        self.tell()

    def hand(self, connection: Connection) -> None:
        if self._resting:
            thread = self._resting.pop()
            thread.given = connection
            thread.go_on()
        else:  # one that has given its permit back, and does not rest yet
            self._handed.append(connection)

    def pair(self) -> tuple[socket.socket, socket.socket]:
        one, other = unpatched.socketpair()
        theirs = WholeSocket(other.family, other.type, other.proto, other.detach())
        return unpatched.Socket(fileno=one.detach()), theirs

    def rest(self, thread: WorkerGreenlet, now: int) -> None:
        """Until there is something to do, or this greenlet is to end: then nothing is given."""
        if self._handed:
            thread.given = self._handed.popleft()
            return
        thread.given = None
        thread.waiting_since = now
        self._resting.append(thread)
        self._hub.switch()

    def shrink(self, now: int) -> int:
        while self._resting and self._resting[0].waiting_since + self._idle <= now:
            try:
                self.permits.pop()
            except IndexError:
                return now + self._idle
            thread = self._resting.popleft()
            thread.go_on()
            self._remove(thread)
        return self._resting[0].waiting_since + self._idle if self._resting else NEVER

    def _is_crowded(self) -> bool:
        return False  # they take turns anyway

    def _foresee(self) -> None:
        """Not needed for the same reason."""

    def _may_grow(self, at_once: bool) -> bool:
        return True

    def _make(self, number: int) -> WorkerThread:
        record = self._board.greenlet(number)
        thread = WorkerGreenlet(number, self._counts, self._work, self._hub, record)
        thread.waiting_since = time.monotonic_ns()
        self._resting.append(thread)
        return thread
