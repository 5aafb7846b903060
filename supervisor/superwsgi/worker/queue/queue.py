"""Requests that wait for a thread, in a lane for each kind.

Called from any thread. Times are monotonic ns.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

from superwsgi.http.request.head import Request
from superwsgi.worker.connection.alarm import NEVER, SECOND
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.storage import Bulk
from superwsgi.worker.queue.expectations import LATELY, Expectations, Kind, kind_of
from superwsgi.worker.queue.fairness import Head, Turn, fair, fifo, is_slow

LONG: Final = SECOND // 1000
SAMPLE: Final = 64
"""Even if nobody waits, what to expect of a kind of request is learned from those that take longer than LONG,
in ns, and from one in SAMPLE of the others: it takes some 3 us."""


class Lane(Head):
    """Those of one name of a kind, in the order in which they came. What to expect of them may be known only
    together with others."""

    __slots__ = ("kind", "name", "waiting")

    def __init__(self, name: str, kind: Kind, expected: int, now: int) -> None:
        super().__init__(expected, now)
        self.name = name
        self.kind = kind
        self.waiting: deque[tuple[int, Connection]] = deque()  # each with when it came


class RequestQueue:
    """Owns connections whose request waits for a thread, of which there are at most `threads`.

    `size` requests wait, the first since `since`. At `look_at` one may run that has had to wait for others.
    Until `tight_until` every request comes here, even if a thread is free: one has lacked lately.
    """

    def __init__(self, policy: str, threads: int, bulk: Bulk) -> None:
        self.size = 0
        self.since = 0
        self.look_at = NEVER
        self.tight_until = 0
        self._unlearned = 0  # requests since one was learned from
        self._started = 0  # the latest one that is slow beside others
        self._expectations = Expectations()
        self._fair = policy == "fair"
        self._threads = threads
        self._bulk = bulk
        self._lanes: dict[str, Lane] = {}
        self._lock = threading.Lock()

    def put(self, connection: Connection, now: int) -> None:
        name = kind_of(connection.parser.requests[0])
        kind = self._expectations.kind(name, now)
        with self._lock:
            lane = self._lanes.get(name)
            if lane is None:
                lane = self._lanes[name] = Lane(name, kind, self._expectations.expected(kind), now)
            lane.waiting.append((now, connection))
            self._resize(1)

    def take(self, last: bool, now: int) -> Connection | None:
        """The one that is next for a thread, the `last` free one or not. None: none is, before `look_at`."""
        with self._lock:
            heads = [lane for lane in self._lanes.values() if not self._is_held_back(lane, now)]
            if not heads:
                self.look_at = NEVER
                return None
            turn = self._turn(heads, last, now)
            self.look_at = turn.until
            lane = turn.head
            if lane is None:
                return None
            assert isinstance(lane, Lane)
            if is_slow(lane, self._expectations.shortest_lately(now)):
                self._started = now
            _, connection = lane.waiting.popleft()
            self._advance(lane)
            self._resize(-1)
            return connection

    def remove(self, connection: Connection) -> bool:
        """Take it out; False if it is not there any more."""
        with self._lock:
            for lane in self._lanes.values():
                for place, (_, other) in enumerate(lane.waiting):
                    if other is connection:
                        del lane.waiting[place]
                        if place == 0:
                            self._advance(lane)
                        self._resize(-1)
                        return True
            return False

    def lack(self, now: int) -> None:
        """There is no thread for one that waits, so there is nothing to look at before one comes back."""
        self.look_at = NEVER
        if self._fair:
            self.tight_until = now + LATELY

    def learn(self, request: Request, took: int, now: int) -> None:
        """The application was done with a request after so many ns."""
        if self._fair:
            self._expectations.learn(self._expectations.kind(kind_of(request), now), took)

    def saw(self, request: Request, took: int, now: int) -> None:
        """The same, but learn only from some."""
        self._unlearned += 1
        if took > LONG or self.size or self._unlearned >= SAMPLE:
            self._unlearned = 0
            self.learn(request, took, now)

    def _turn(self, heads: list[Lane], last: bool, now: int) -> Turn:
        if not self._fair:
            return fifo(heads)
        tight = now < self.tight_until
        short = self._expectations.shortest_lately(now) if tight else NEVER
        turn = fair(heads, now, self._threads, last, short, self._started)
        if tight:
            turn.until = min(turn.until, self.tight_until)
        return turn

    def _is_held_back(self, lane: Lane, now: int) -> bool:
        """While responses fill files, those that are expected to do the same wait."""
        return self._bulk.crowded and self._bulk.expects(lane.name, now)

    def _advance(self, lane: Lane) -> None:
        """Its first one has left the lane."""
        if lane.waiting:
            lane.since = lane.waiting[0][0]
            lane.expected = self._expectations.expected(lane.kind)
            lane.passed = NEVER
        else:
            del self._lanes[lane.name]

    def _resize(self, change: int) -> None:
        self.size += change
        self.since = min((lane.since for lane in self._lanes.values()), default=0)
