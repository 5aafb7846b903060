"""Clients that have left while the application waits for something to tell them: its thread would wait on for
an event that nobody will see, and others for the thread. Nothing can be raised in a thread that waits, so it
is given up, as one whose deadline is over: another one takes its place, and it ends by itself when the
application goes on, which is told then that the client has gone.

Not given up are those that compute, as more and more of them would, and those of plain pages, which have work
to do, whoever reads the answer: only streams. A loop that speaks every now and then finds out by itself, so
each is given LOOK first. Only the polling thread works here. Times are monotonic ns.
"""

from __future__ import annotations

from collections.abc import Iterable

from superwsgi.http.response.exchange import Exchange
from superwsgi.worker.connection.alarm import GRAIN, NEVER, Alarm
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.states import State
from superwsgi.worker.threads.lost import COMPUTES, LOOK, share
from superwsgi.worker.threads.thread import WorkerThread


class _Left:
    """A thread's request, and for how many seconds it was `awake` until `since`, if the kernel tells."""

    __slots__ = ("awake", "exchange", "since")

    def __init__(self, exchange: Exchange, now: int, awake: float | None) -> None:
        self.exchange = exchange
        self.since = now
        self.awake = awake


class LeftStreams:
    """`note` each client that may have left; `look` says whose threads are to be given up."""

    def __init__(self, alarm: Alarm) -> None:
        self._alarm = alarm
        self._noted: list[Connection] = []
        self._watched: dict[WorkerThread, _Left] = {}

    def note(self, connection: Connection) -> None:
        """Its client may be gone: look at its thread, if it has one."""
        if connection.state is State.RUNNING:
            self._noted.append(connection)
            self._alarm.no_later_than(connection.noticed + GRAIN)

    def look(self, threads: Iterable[WorkerThread], now: int) -> list[tuple[WorkerThread, Exchange]]:
        """Those of the `threads` that wait for nobody any more, with what they wait in."""
        if self._noted:
            self._watch(threads, now)
        watched = list(self._watched.items())
        return [(thread, left.exchange) for thread, left in watched if self._waits(thread, left, now)]

    @property
    def due(self) -> int:
        """When to look again."""
        return min([left.since + LOOK for left in self._watched.values()], default=NEVER)

    def _watch(self, threads: Iterable[WorkerThread], now: int) -> None:
        noted, self._noted = set(self._noted), []
        for thread in threads:
            connection = thread.connection
            if connection in noted and connection is not None and connection.exchange is not None:
                self._watched[thread] = _Left(connection.exchange, now, thread.awake())

    def _waits(self, thread: WorkerThread, left: _Left, now: int) -> bool:
        connection = thread.connection
        if not thread.token or connection is None or connection.exchange is not left.exchange:
            del self._watched[thread]
            return False
        if now < left.since + LOOK:
            return False
        if not connection.sender.cut_off:  # it has only no more to say
            del self._watched[thread]
            return False
        awake, since = thread.awake(), left.since
        before, left.awake, left.since = left.awake, awake, now
        return left.exchange.streams and share(before, awake, now - since) <= COMPUTES
