"""The worker's side of the listening sockets, which it shares with its siblings.

EPOLLEXCLUSIVE lets the kernel wake one worker for a new connection. A worker that should not take more
*leaves*: it removes the listeners from its epoll, so that the kernel wakes another one, and comes back after
a pause, at the end of the kernel's queue of workers to wake. A worker that was woken always accepts once
before it leaves, because no other may have been woken for that connection.
"""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

from superwsgi import unpatched
from superwsgi.log.rate_limit import Complaint
from superwsgi.system.deaf import is_deaf
from superwsgi.tls.interface import Certificates
from superwsgi.worker.connection.alarm import NEVER, SECOND
from superwsgi.worker.serve.connections import Connections
from superwsgi.worker.serve.context import Context
from superwsgi.worker.threads.pool import Pool

PAUSE: Final = SECOND // 500
"""How long a worker with more than its share stays away. All workers may be away at the same time, and then a
connection waits this long: with 20 ms, half of all connections did, with 2 workers and 4 clients."""

BUSY_PAUSE: Final = SECOND // 50
"""The same for a worker without a free thread, which also comes back as soon as it has one."""

FULL_PAUSE: Final = SECOND // 10
"""The same for a worker with as many connections as it may have; some may be idle by then."""

AT_ONCE: Final = 64
"""Connections accepted between two polls, at most: 1,000 took 50 ms, during which nobody else was served."""

RESERVED: Final = 32
"""Connections beyond limits.connections that are accepted for health checks, on their own addresses."""

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_LISTENER: Final = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSOCK})
"""accept(2): the descriptor is closed, has been reused, or was shut down (shutdown(2))."""

Accepted = tuple[socket.socket, Any, socket.socket]  # connection, client's address, listener


@dataclass(frozen=True, slots=True)
class Listeners:
    """The listening sockets, non-blocking and shared with siblings; `certificates` are for the `secured`
    ones, and those `for_checks` answer nothing but health checks."""

    sockets: Sequence[socket.socket]
    secured: Set[socket.socket] = frozenset()
    certificates: Certificates | None = None
    for_checks: Set[socket.socket] = frozenset()


class Broken(Exception):
    """Something that the loop depends on is gone, so this worker cannot serve any more. Only the application
    can have closed it; the text says what it is."""

    def __init__(self, what: str, error: OSError) -> None:
        super().__init__(f"its {what} is gone, closed by the application? ({error.strerror})")


class Acceptor:
    """`make_room` is given the time, closes connections that are not needed, and returns whether there were
    any. Times are monotonic ns."""

    def __init__(
        self,
        context: Context,
        connections: Connections,
        pool: Pool,
        listeners: Listeners,
        make_room: Callable[[int], bool],
    ) -> None:
        self._listeners = {listener.fileno(): listener for listener in listeners.sockets}
        self._families = {listener.fileno(): int(listener.family) for listener in listeners.sockets}
        self._for_checks = {listener.fileno() for listener in listeners.for_checks}
        self._watched: set[int] = set()
        self._epoll: select.epoll = context.epoll
        self._alarm = context.alarm
        self._board = context.board
        self._errors = context.errors
        self._limit = context.site.limits.connections
        self._connections = connections
        self._pool = pool
        self._make_room = make_room
        self._full = Complaint(context.errors.warning, "no more connections")
        self._exhausted = Complaint(context.errors.warning, "connection not accepted")
        self._expected = 1  # connections that wait when the kernel tells of some
        self._lock = unpatched.shared_lock()
        self.away = True
        self.until = NEVER  # when to come back, while away
        self.spreads_until = 0  # connections beyond the share of this worker are to go to others
        self._for_room = False  # whether to come back as soon as there is room

    def __contains__(self, fd: int) -> bool:
        return fd in self._listeners

    def accept(self, fd: int, now: int) -> Iterator[Accepted]:
        """Accept from a listener that became ready, as far as this worker should. Raises Broken.

        As many as last time, and twice as many if that was not all: what is left is told of in the next poll.
        To ask until nothing is left makes the kernel prepare one connection more than there are, and raises
        an error: for connections that come one at a time half as much again as to accept them."""
        listener = self._listeners.get(fd)
        for accepted in range(self._expected):
            if listener is None or fd not in self._watched:
                return
            try:
                sock, address = unpatched.accept(listener, self._families[fd])
            except (BlockingIOError, ConnectionAbortedError):
                if not accepted and listener.family == socket.AF_UNIX and is_deaf(listener):
                    self._forget(fd)
                self._expected = accepted or 1
                return
            except OSError as error:
                self._unable(error, now)
                return
            yield sock, address, listener
            connections = len(self._connections.open)
            if fd in self._for_checks:
                if connections >= self._limit + RESERVED:
                    self.leave(now + FULL_PAUSE, for_room=True, wholly=True)
            elif connections >= self._limit:
                self._await_room(now)
            elif over_share(connections, self._board.peers()):
                self.leave(now + PAUSE)
        self._expected = min(2 * self._expected, AT_ONCE)

    def yield_to_peers(self, now: int) -> None:
        """Leave while no thread is free here but another worker has one."""
        if better_placed(self._pool.free, self._board.peers()):
            self.leave(now + BUSY_PAUSE, for_room=True)

    def spread(self, until: int) -> None:
        """Workers have been added. Any thread."""
        self.spreads_until = until

    def parting(self, now: int) -> int:
        """How many connections here others are to take, which have come for load."""
        if now >= self.spreads_until:
            self.spreads_until = 0
            return 0
        return beyond_share(len(self._connections.open), self._board.peers())

    def leave(self, until: int, *, for_room: bool = False, wholly: bool = False) -> None:
        """Stay at the listeners for health checks, unless it is to be done `wholly`: a worker that has no
        time for others answers those."""
        with self._lock:
            self.until, self._for_room = until, for_room
            self._alarm.no_later_than(self.until)
            self.away = True
            for fd in self._watched if wholly else self._watched - self._for_checks:
                self._epoll.unregister(fd)
            self._watched &= set() if wholly else self._for_checks

    def come_back(self) -> None:
        with self._lock:
            if self.away:
                self.away = self._for_room = False
                self.until = NEVER
                for fd in self._listeners.keys() - self._watched:
                    self._epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)
                self._watched.update(self._listeners)

    def look_again(self, now: int) -> None:
        """While away: come back after the pause, unless there is still no room or no thread."""
        if not self.away or now < self.until:
            return
        if len(self._connections.open) >= self._limit:
            self._await_room(now)
        else:
            self.come_back()
            self.yield_to_peers(now)

    def freed(self) -> None:
        """A connection was closed, or a thread came back."""
        if self._for_room and len(self._connections.open) < self._limit:
            self.come_back()

    def close(self) -> Iterator[Accepted]:
        """Accept what the kernel has already taken for us, then let go of the listeners."""
        self.leave(NEVER, wholly=True)
        listeners, self._listeners = self._listeners, {}
        for listener in listeners.values():
            yield from _emptied(listener)
            listener.close()

    def _forget(self, fd: int) -> None:
        """A listener that is always ready but has nothing: the master replaces it, and then this worker."""
        with self._lock:
            if self._listeners.pop(fd, None) is not None and fd in self._watched:
                self._watched.remove(fd)
                self._epoll.unregister(fd)

    def discard(self) -> None:
        """Let go of the listeners at once."""
        for listener in self._listeners.values():
            listener.close()
        self._listeners = {}

    def _await_room(self, now: int) -> None:
        """No more connections are allowed: leave new ones to siblings, or else trade idle ones for them."""
        if not any(connections < self._limit for connections, _ in self._board.peers()):
            following = "idle ones are closed, new ones wait"
            self._full.make(now, limit="limits.connections", connections=self._limit, next=following)
            if self._make_room(now):
                self.come_back()
                return
        self.leave(now + FULL_PAUSE, for_room=True)
        self.freed()  # some may have been closed since we counted

    def _unable(self, error: OSError, now: int) -> None:
        """Raises Broken."""
        if error.errno in _EXHAUSTED:
            following = "tried again when a connection is closed, or in 1 s"
            self._exhausted.make(
                now, reason=error.strerror, connections=len(self._connections.open), next=following
            )
            self.leave(now + SECOND, for_room=True, wholly=True)
        elif error.errno in _NO_LISTENER:
            raise Broken("listener", error)
        else:  # errors of the connection itself, accept(2) "Error handling"
            self._errors.warning(
                "connection broken before it was accepted",
                reason=error.strerror,
                next="closed; its client was cut off on the way, or a firewall forbids it",
            )


def _emptied(listener: socket.socket) -> Iterator[Accepted]:
    while True:
        try:
            sock, address = unpatched.accept(listener, listener.family)
        except OSError:
            return
        yield sock, address, listener


# Which worker takes a new connection: each worker decides for itself, from the scoreboard. `peers` are
# (connections, free threads) of the other workers that accept connections now.


def over_share(connections: int, peers: Iterable[tuple[int, int]]) -> bool:
    """Whether a worker has clearly more connections than a peer that could take the next one.

    Left alone, the kernel favours one worker, 3 to 1 and worse, and keep-alive connections stay where they
    are. Goal: a ratio of most to fewest of at most 1.25 for 200 connections on 4 workers. The slack keeps
    workers from leaving the listener all the time when there are few connections.
    """
    return beyond_share(connections, peers) > 0


def beyond_share(connections: int, peers: Iterable[tuple[int, int]]) -> int:
    """How many that are; none if no peer has a free thread."""
    idle = [theirs for theirs, free in peers if free > 0]
    if not idle:
        return 0
    fewest = min(idle)
    return max(0, connections - (fewest + 1 + fewest // 16))


def better_placed(free_threads: int, peers: Iterable[tuple[int, int]]) -> bool:
    """Whether a peer has a free thread while this worker has none: here a request would wait needlessly."""
    return free_threads <= 0 and any(free > 0 for _, free in peers)
