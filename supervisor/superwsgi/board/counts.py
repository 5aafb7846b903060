"""What a worker counts and has in hand, as it is read from the scoreboard: requests by method and class of
status, refusals, and how long requests took.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

MOST: Final = (1 << 63) - 1
"""No count is larger, nor a sum of them: applications can write anything on a scoreboard."""

BOUNDS: Final[tuple[float, ...]] = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0, 60.0,
)  # fmt: skip
"""Latency histograms: bucket b counts what took at most BOUNDS[b] seconds, and more than the bound before it;
one more bucket counts the rest."""

BUCKETS: Final = len(BOUNDS) + 1

CLASSES: Final[tuple[str, ...]] = ("2xx", "3xx", "4xx", "5xx")
"""Classes of status codes: RFC 9110 section 15. 499, the client left, is one of the third."""

METHODS: Final[tuple[str, ...]] = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "other")
"""Methods that are counted, each under a number of its own; `other` are all further ones, and those of
requests that could not be understood."""

OTHER_METHOD: Final = len(METHODS) - 1

ANSWERS: Final = len(METHODS) * len(CLASSES)
"""How many counts of answers there are: for each method those of each class."""

NUMBERS: Final[dict[str, int]] = {method: number for number, method in enumerate(METHODS[:OTHER_METHOD])}
"""The number of each method that has one of its own."""

REFUSED: Final[tuple[int, ...]] = (400, 404, 408, 413, 414, 417, 421, 429, 431, 501, 503, 504, 505)
"""What the server itself answers, instead of the application; others count as the first of their class."""


BOUNDS_NS: Final = [round(bound * 1e9) for bound in BOUNDS]
_LAST: Final = BUCKETS - 1


def bucket(took: int) -> int:
    """Where `took` ns are counted. Most take little: then this is quicker than bisect."""
    found = 0
    while found < _LAST and took > BOUNDS_NS[found]:
        found += 1
    return found


def class_of(status: int) -> int:
    """Where an answer is counted in CLASSES: 101, the protocol that was asked for, with what went well, and
    what is no status as the server's failure."""
    if 200 <= status < 600:
        return status // 100 - 2
    return 0 if status == 101 else 3


@dataclass(frozen=True, slots=True)
class InFlight:
    """A request that a thread had in hand: `started` is monotonic seconds, `ident` that of the thread; `path`
    and `id` may be cut."""

    thread: int
    ident: int
    started: float
    method: str
    path: str
    id: str


@dataclass(frozen=True, slots=True)
class Counts:
    """What has been counted since the start: `answers` by method, and of each by class; `refused` as REFUSED,
    of them `shed` so that others are answered in time; `upgrades` are connections that the application had
    taken over, and that have ended; times in seconds. They can be added up, to MOST each,
    and subtracted."""

    accepted: int = 0
    turned_away: int = 0
    unlogged: int = 0
    quarantined: int = 0
    not_upgraded: int = 0
    shed: int = 0
    upgrades: int = 0
    sent: int = 0
    app_time: float = 0.0
    time: float = 0.0
    answers: tuple[int, ...] = (0,) * ANSWERS
    refused: tuple[int, ...] = (0,) * len(REFUSED)
    app_latency: tuple[int, ...] = (0,) * BUCKETS
    latency: tuple[int, ...] = (0,) * BUCKETS

    @property
    def requests(self) -> int:
        """All that were answered, by the application or by the server itself."""
        return _sum_of(self.answers)

    @property
    def classes(self) -> tuple[int, ...]:
        """Answers by class, whatever the method."""
        return tuple([_sum_of(self.answers[each :: len(CLASSES)]) for each in range(len(CLASSES))])

    @property
    def failures(self) -> int:
        """Answers with a 5xx status."""
        return self.classes[3]

    def __add__(self, other: Counts) -> Counts:
        return self._with(other, _sum)

    def __sub__(self, other: Counts) -> Counts:
        return self._with(other, operator.sub)

    def highest(self, other: Counts) -> Counts:
        """Of each count the higher one."""
        return self._with(other, max)

    def _with(self, other: Counts, of: Callable[[Any, Any], Any]) -> Counts:
        def each(ours: tuple[int, ...], theirs: tuple[int, ...]) -> tuple[int, ...]:
            return tuple([of(own, their) for own, their in zip(ours, theirs, strict=True)])

        return Counts(
            accepted=of(self.accepted, other.accepted),
            turned_away=of(self.turned_away, other.turned_away),
            unlogged=of(self.unlogged, other.unlogged),
            quarantined=of(self.quarantined, other.quarantined),
            not_upgraded=of(self.not_upgraded, other.not_upgraded),
            shed=of(self.shed, other.shed),
            upgrades=of(self.upgrades, other.upgrades),
            sent=of(self.sent, other.sent),
            app_time=of(self.app_time, other.app_time),
            time=of(self.time, other.time),
            answers=each(self.answers, other.answers),
            refused=each(self.refused, other.refused),
            app_latency=each(self.app_latency, other.app_latency),
            latency=each(self.latency, other.latency),
        )


def _sum_of(counts: tuple[int, ...]) -> int:
    return min(sum(counts), MOST)


def _sum(own: Any, other: Any) -> Any:
    """Whole numbers or seconds."""
    return min(own + other, MOST)


@dataclass(frozen=True, slots=True)
class WorkerCounters:
    """One worker's fields, the sums over its threads, and what it has in hand; times in seconds. Of its
    `connections` so many are `upgraded`, which the application has `taken_over`."""

    pid: int
    accepting: bool
    connections: int
    upgraded: int
    queued: int
    waiting_since: float
    gated: int
    gated_since: float
    gated_at: int
    threads: int
    free: int
    busy: int
    abandoned: int
    left: int
    taken: int
    sending: int
    heartbeat: float
    counts: Counts
    in_flight: tuple[InFlight, ...]
    taken_over: tuple[InFlight, ...]

    @property
    def requests(self) -> int:
        return self.counts.requests

    @property
    def in_hand(self) -> tuple[InFlight, ...]:
        """All that the application works on, also on connections that it has taken over."""
        return self.in_flight + self.taken_over


def quantile(buckets: Sequence[int], share: float) -> float | None:
    """The seconds that this share of what is in a histogram (BOUNDS) took at most; None if it is
    empty.

    Within a bucket they are taken to be spread evenly. What is beyond the last bound counts as that bound:
    nothing is known but that it took longer.
    """
    below, wanted = 0, share * sum(buckets)
    for bucket, count in enumerate(buckets):
        if count and below + count >= wanted:
            return _within(bucket, (wanted - below) / count)
        below += count
    return None


def _within(bucket: int, share: float) -> float:
    if bucket == len(BOUNDS):
        return BOUNDS[-1]
    lower = BOUNDS[bucket - 1] if bucket else 0.0
    return lower + (BOUNDS[bucket] - lower) * share
