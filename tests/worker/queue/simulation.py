"""Clients that ask again and again, and threads that answer them, in simulated time.

The real queue with its real policy and expectations; around it what `Service` does: a request that finds a
thread runs, unless one has lacked lately; when one is done, the next from the queue runs; where the queue
lets nobody run yet, it is asked again at `look_at`. Deterministic: service times are drawn from a seeded
Random. Times are ns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random

from superwsgi.worker.connection.alarm import NEVER, SECOND
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.storage import Bulk
from superwsgi.worker.queue.queue import RequestQueue
from tests.worker.queue.waiting import Waiting, request

MS = SECOND // 1000
WARM = SECOND // 2
"""Until then nothing is measured: kinds are still unknown, and all clients have come at once."""


@dataclass
class Page:
    """`takes` as a function of the draw and the time, or a number, then 20 % more or less. `think`: between
    an answer and the client's next request; NEVER: it does not come again."""

    path: str
    takes: int | Callable[[Random, int], int]
    clients: int
    think: int = MS

    def draw(self, random: Random, now: int) -> int:
        if callable(self.takes):
            return self.takes(random, now)
        return int(self.takes * random.uniform(0.8, 1.2))


@dataclass
class Figures:
    """Of one page: what its clients waited for a thread, and how many were answered."""

    waits: list[int] = field(default_factory=list)
    answered: int = 0
    seconds: float = 0.0

    def percentile(self, share: float) -> float:
        """In ms."""
        ranked = sorted(self.waits)
        return ranked[min(len(ranked) - 1, int(len(ranked) * share))] / MS if ranked else float("inf")

    @property
    def p50(self) -> float:
        return self.percentile(0.5)

    @property
    def p99(self) -> float:
        return self.percentile(0.99)

    @property
    def rate(self) -> float:
        return self.answered / self.seconds

    def __str__(self) -> str:
        return f"{self.rate:.0f}/s, p50 {self.p50:.1f} ms, p99 {self.p99:.1f} ms"


@dataclass(eq=False)
class Client:
    page: Page
    connection: Connection
    came: int = 0
    began: int = NEVER


class Simulation:
    """One worker with so many threads. `run` it once, and look at `figures` by path, and at `order`: when
    each request began and when it had come, as they began."""

    def __init__(self, policy: str, threads: int, *pages: Page, seed: int = 1) -> None:
        self.figures = {page.path: Figures() for page in pages}
        self.order: list[tuple[int, int]] = []
        self.queue = RequestQueue(policy, threads, Bulk(threads))
        self._waiting = Waiting()
        self._clients: dict[Connection, Client] = {}
        self._free = threads
        self._random = Random(seed)
        self._events: list[tuple[int, int, Callable[[int], None]]] = []
        self._numbers = count()
        self._look_at = NEVER
        self._after = WARM
        self._pages = pages

    def run(self, seconds: float, after: int = WARM) -> Simulation:
        """So many simulated seconds; measured from `after`, in ns."""
        self._after = after
        end = int(seconds * SECOND)
        for page in self._pages:
            for _ in range(page.clients):
                self.come(page, self._random.randrange(MS))
        while self._events and self._events[0][0] < end:
            now, _, happen = heappop(self._events)
            happen(now)
        self._waiting.close()
        for figures in self.figures.values():
            figures.seconds = (end - after) / SECOND
        return self

    def come(self, page: Page, when: int) -> Client:
        """One more client, before the run."""
        client = Client(page, self._waiting.connection(page.path))
        self._clients[client.connection] = client
        self._at(when, partial(self._arrive, client))
        return client

    def teach(self, *pages: Page) -> Simulation:
        """What they take is known from the beginning."""
        for page in pages:
            self.queue.learn(request(page.path), page.draw(self._random, 0), 0)
        return self

    def _at(self, when: int, happen: Callable[[int], None]) -> None:
        heappush(self._events, (when, next(self._numbers), happen))

    def _arrive(self, client: Client, now: int) -> None:
        client.came = now
        if not self.queue.size and self.queue.tight_until <= now and self._free:
            self._free -= 1
            self._begin(client, now)
        else:
            self.queue.put(client.connection, now)
            self._run_queued(now)

    def _run_queued(self, now: int) -> None:
        while self.queue.size:
            if not self._free:
                return self.queue.lack(now)
            self._free -= 1
            connection = self.queue.take(self._free == 0, now)
            if connection is None:
                self._free += 1
                return self._look_again(now)
            self._begin(self._clients[connection], now)
        return None

    def _look_again(self, now: int) -> None:
        when = max(self.queue.look_at, now + 1)
        if when < self._look_at:
            self._look_at = when
            self._at(when, self._look)

    def _look(self, now: int) -> None:
        self._look_at = NEVER
        self._run_queued(now)

    def _begin(self, client: Client, now: int) -> None:
        client.began = now
        self.order.append((now, client.came))
        if client.came >= self._after:
            self.figures[client.page.path].waits.append(now - client.came)
        takes = client.page.draw(self._random, now)
        self._at(now + takes, partial(self._end, client, takes))

    def _end(self, client: Client, took: int, now: int) -> None:
        self.queue.saw(client.connection.parser.requests[0], took, now)
        self._free += 1
        self.figures[client.page.path].answered += now >= self._after
        if client.page.think != NEVER:
            self._at(now + client.page.think, partial(self._arrive, client))
        self._run_queued(now)
