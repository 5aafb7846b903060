"""The worker's side of the listening sockets, which it shares with its siblings.

EPOLLEXCLUSIVE lets the kernel wake one worker for a new connection. A worker that should not take more
*leaves*: it takes the listeners out of its epoll, so that the kernel wakes somebody else, and comes back
after a pause, to the end of the queue of those that the kernel may wake. A worker that was woken always
accepts once before it leaves, because nobody else may have been woken for that connection.
"""

from __future__ import annotations

import errno
import select
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from superwsgi.log.error import ErrorLog
from superwsgi.scoreboard import WorkerWriter
from superwsgi.worker.alarm import NEVER, SECOND, Alarm
from superwsgi.worker.share import better_placed, over_share

PAUSE: Final = SECOND // 500
"""How long a worker with more than its share leaves. All workers may leave at the same time, and then a
connection waits this long: with 20 ms, half of all connections did, at 2 workers and 4 clients."""

FULL_PAUSE: Final = SECOND // 50
"""The same for a worker without a free thread, which also comes back as soon as it has one."""

AT_ONCE: Final = 64
"""Connections accepted between two polls: 1,000 took 50 ms, in which nobody else was served."""

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

Accepted = tuple[socket.socket, Any, socket.socket]  # connection, client's address, listener


class Acceptor:
    """`census` tells this worker's open connections and its free threads. Times are monotonic ns."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        epoll: select.epoll,
        alarm: Alarm,
        board: WorkerWriter,
        errors: ErrorLog,
        limit: int,
        census: Callable[[], tuple[int, int]],
    ) -> None:
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._epoll = epoll
        self._alarm = alarm
        self._board = board
        self._errors = errors
        self._limit = limit
        self._census = census
        self._lock = threading.Lock()
        self.away = True
        self.until = NEVER  # when to come back, while away
        self._for_room = False  # whether to come back as soon as there is room

    def __contains__(self, fd: int) -> bool:
        return fd in self._listeners

    def accept(self, fd: int, now: int) -> Iterator[Accepted]:
        """What waits at a listener that became ready, as far as this worker should take it."""
        listener = self._listeners.get(fd)
        for _ in range(AT_ONCE):
            if listener is None or self.away:
                return
            try:
                sock, address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._unable(error, now)
                return
            yield sock, address, listener
            connections, _ = self._census()
            if connections >= self._limit:
                self.leave(NEVER, for_room=True)
            elif over_share(connections, self._board.peers()):
                self.leave(now + PAUSE)

    def yield_to_peers(self, now: int) -> None:
        """Leave while no thread is free here but one is elsewhere."""
        _, free = self._census()
        if better_placed(free, self._board.peers()):
            self.leave(now + FULL_PAUSE, for_room=True)

    def leave(self, until: int, *, for_room: bool = False) -> None:
        with self._lock:
            self.until, self._for_room = until, for_room
            self._alarm.no_later_than(self.until)
            if not self.away:
                self.away = True
                for fd in self._listeners:
                    self._epoll.unregister(fd)

    def come_back(self) -> None:
        with self._lock:
            if self.away:
                self.away = self._for_room = False
                self.until = NEVER
                for fd in self._listeners:
                    self._epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)

    def look_again(self, now: int) -> None:
        """While away: come back when the time is over, unless there is still no thread for a request."""
        if self.away and now >= self.until:
            self.come_back()
            self.yield_to_peers(now)

    def freed(self) -> None:
        """A connection was closed, or a thread came back."""
        if self._for_room and self._census()[0] < self._limit:
            self.come_back()

    def close(self) -> Iterator[Accepted]:
        """Accept what the kernel has already taken for us, then let go of the listeners."""
        self.leave(NEVER)
        listeners, self._listeners = self._listeners, {}
        for listener in listeners.values():
            yield from _emptied(listener)
            listener.close()

    def discard(self) -> None:
        """Let go of the listeners at once."""
        for listener in self._listeners.values():
            listener.close()
        self._listeners = {}

    def _unable(self, error: OSError, now: int) -> None:
        if error.errno in _EXHAUSTED:
            self._errors.error("connection not accepted", error=error.strerror, next="trying again in 1 s")
            self.leave(now + SECOND)
        else:  # errors of the connection itself, accept(2) "Error handling"
            self._errors.warning("connection not accepted", error=error.strerror)


def _emptied(listener: socket.socket) -> Iterator[Accepted]:
    while True:
        try:
            sock, address = listener.accept()
        except OSError:
            return
        yield sock, address, listener
