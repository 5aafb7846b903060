"""Requests that come at their own pace, whatever becomes of those before them, in simulated time.

The real queue with its rule of who is refused; around it what `Service` does with that. Deterministic: what
is drawn comes from a seeded Random. Times are ns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random

from superwsgi.worker.connection.alarm import NEVER, SECOND
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.storage import Bulk
from superwsgi.worker.queue.queue import RequestQueue
from tests.worker.queue.waiting import Waiting

MS = SECOND // 1000


@dataclass
class Stream:
    """Requests for `path`, `rate` a second as a function of the time in seconds, each of which takes a thread
    for so long; `regular`: all take exactly that and come in step, else as chance has it."""

    path: str
    takes: int
    rate: Callable[[float], float]
    regular: bool = False


@dataclass
class Fate:
    """What became of one that came at `when`: it waited so long, and ran, or was refused."""

    path: str
    when: int
    waited: int
    ran: bool


@dataclass
class Fates:
    of: list[Fate] = field(default_factory=list)

    def between(self, begin: float, end: float, path: str | None = None) -> Fates:
        """Of those that came then, in seconds."""
        came = [each for each in self.of if begin * SECOND <= each.when < end * SECOND]
        return Fates([each for each in came if path in (None, each.path)])

    @property
    def ran(self) -> list[Fate]:
        return [each for each in self.of if each.ran]

    @property
    def refused(self) -> list[Fate]:
        return [each for each in self.of if not each.ran]

    def p99(self) -> float:
        """Seconds that those that ran had waited."""
        waits = sorted(each.waited for each in self.ran)
        return waits[int(len(waits) * 0.99)] / SECOND


class Overload:
    """One worker with so many threads, whose requests may wait for `age` ns."""

    def __init__(self, policy: str, threads: int, age: int, streams: Sequence[Stream], seed: int = 1) -> None:
        self.queue = RequestQueue(policy, threads, Bulk(threads), age)
        self._free = threads
        self._random = Random(seed)
        self._events: list[tuple[int, int, Callable[[int], None]]] = []
        self._numbers = count()
        self._came: dict[Connection, tuple[Stream, int]] = {}
        self._fates = Fates()
        self._streams = streams
        self._look_at = NEVER
        self._waiting = Waiting()

    def run(self, seconds: float) -> Fates:
        end = int(seconds * SECOND)
        for stream in self._streams:
            self._next(stream, 0)
        while self._events and self._events[0][0] < end:
            now, _, happen = heappop(self._events)
            happen(now)
        self._waiting.close()
        return self._fates

    def burst(self, stream: Stream, count: int, when: int) -> Overload:
        """So many at once, before the run."""
        for _ in range(count):
            self.at(when, partial(self._come, stream))
        return self

    def at(self, when: int, happen: Callable[[int], None]) -> None:
        heappush(self._events, (when, next(self._numbers), happen))

    def _next(self, stream: Stream, now: int) -> None:
        rate = stream.rate(now / SECOND)
        if rate:
            gap = SECOND / rate if stream.regular else self._random.expovariate(rate) * SECOND
            self.at(now + int(gap), partial(self._arrive, stream))
        else:
            self.at(now + 10 * MS, partial(self._next, stream))

    def _arrive(self, stream: Stream, now: int) -> None:
        self._next(stream, now)
        self._come(stream, now)

    def _come(self, stream: Stream, now: int) -> None:
        connection = self._waiting.connection(stream.path)
        self._came[connection] = stream, now
        queue = self.queue
        if not queue.size and queue.tight_until <= now and self._free:
            self._free -= 1
            self._begin(connection, now)
        elif queue.sheds_until > now and queue.refuses(connection.parser.requests[0], now):
            self._end_of(connection, now, ran=False)
        else:
            queue.put(connection, now)
            self._run_queued(now)

    def _run_queued(self, now: int) -> None:
        queue = self.queue
        while queue.size:
            self._refuse(now)
            if not self._free:
                return queue.lack(now)
            self._free -= 1
            connection = queue.take(self._free == 0, now)
            self._refuse(now)
            if connection is None:
                self._free += 1
                return self._look_again(now)
            self._begin(connection, now)
        return None

    def _refuse(self, now: int) -> None:
        while self.queue.refused:
            self._end_of(self.queue.refused.popleft(), now, ran=False)

    def _look_again(self, now: int) -> None:
        when = max(self.queue.look_at, now + 1)
        if when < self._look_at:
            self._look_at = when
            self.at(when, self._look)

    def _look(self, now: int) -> None:
        self._look_at = NEVER
        self._run_queued(now)

    def _begin(self, connection: Connection, now: int) -> None:
        stream, _ = self._came[connection]
        self._end_of(connection, now, ran=True)
        spread = 1.0 if stream.regular else self._random.expovariate(1.0)
        took = int(stream.takes * spread)
        self.at(now + took, partial(self._done, connection, took))

    def _done(self, connection: Connection, took: int, now: int) -> None:
        self.queue.saw(connection.parser.requests[0], took, now)
        self._free += 1
        self._run_queued(now)

    def _end_of(self, connection: Connection, now: int, *, ran: bool) -> None:
        stream, came = self._came[connection]
        self._fates.of.append(Fate(stream.path, came, now - came, ran))
