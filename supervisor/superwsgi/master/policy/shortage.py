"""When threads are short: all of all workers are taken, or requests wait for one. That is said once, with
what takes them, and once when it is over. Pure: monitor.py reads the scoreboards, and writes the log.

Applications can write anything on a scoreboard. So no count is larger here than the site file allows, no wait
longer than its worker has served, and both lines together come at most once in PATIENCE + CALM seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from superwsgi.board.counts import WorkerCounters
from superwsgi.config.schema import Site
from superwsgi.http.request.path_groups import group_of
from superwsgi.log.spelling import duration, share

PATIENCE: Final = 3.0
"""Seconds for which every look has to find threads short: a burst is what a queue is for."""

CALM: Final = 5.0
"""Seconds for which no look may find that again, before it is over."""

GROUPS: Final = 3
"""How many of those that take the threads are named."""

_EVERYWHERE: Final = "raise `{key}` or `workers`, or make these pages quicker"
_SOMEWHERE: Final = (
    "other workers have free {one}s, but a connection stays with its worker: raise `{key}`, or make these "
    "pages quicker"
)
_STREAMS: Final = "an open event stream holds a {one}: superwsgi reference threads"
_COMPUTE: Final = (
    "no more are started while these compute, or where the system gives none: make these pages quicker, or "
    "add `workers` up to the CPUs"
)


@dataclass(frozen=True, slots=True)
class ThreadsView:
    """The threads of a worker. `busy` of `total` have a request in hand, there may be `most`, and `free` more
    requests could run. `oldest` is how many seconds the first of `queued` requests has waited, None if that
    is not known; `in_hand` are method and target of each request. `gated` more lack no thread: they wait
    until others of their rule are answered, the first for `gated_for` seconds, as the key `gated_by` wants
    it."""

    busy: int
    total: int
    most: int
    free: int
    queued: int = 0
    oldest: float | None = None
    in_hand: tuple[tuple[str, str], ...] = ()
    gated: int = 0
    gated_for: float | None = None
    gated_by: str | None = None
    green: bool = False  # they are greenlets

    @property
    def short(self) -> bool:
        """Whether the next request has to wait, or some do. One that has no thread yet has just begun."""
        return bool(self.queued) or (self.total > 0 and self.free == 0)

    @property
    def computes(self) -> bool:
        """Whether there might be more threads, but these leave no CPU for them (worker/threads/pool.py)."""
        return self.short and self.busy == self.total < self.most


@dataclass(frozen=True, slots=True)
class Shortage:
    """What the looks have found so far: short `since` that time and still at `last`, both in monotonic
    seconds; `queued` is the longest queue, `oldest` the longest wait in seconds. `said`: it is in the log."""

    since: float
    last: float
    queued: int = 0
    oldest: float = 0.0
    said: bool = False


@dataclass(frozen=True, slots=True)
class Begins:
    """To be logged, with these fields."""

    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Ends:
    fields: dict[str, str]


def view(counters: WorkerCounters, site: Site, ready_at: float | None, now: float) -> ThreadsView:
    """The threads of a worker of that site, which has served since `ready_at`."""
    most = site.most_threads
    busy = min(len(counters.in_flight), most)
    queued = min(counters.queued, site.limits.queue)
    gated = min(counters.gated, site.limits.connections) if site.paths else 0
    return ThreadsView(
        busy=busy,
        total=max(busy, min(counters.threads, most)),
        most=most,
        free=min(counters.free, most),
        queued=queued,
        oldest=_waited(counters.waiting_since, ready_at, now) if queued else None,
        in_hand=tuple((request.method, request.path) for request in counters.in_flight),
        gated=gated,
        gated_for=_waited(counters.gated_since, ready_at, now) if gated else None,
        gated_by=_gate(counters.gated_at, site) if gated else None,
        green=bool(site.green),
    )


def _waited(since: float, ready_at: float | None, now: float) -> float | None:
    return max(0.0, now - max(since, ready_at or 0.0)) if since else None


def _gate(number: int, site: Site) -> str | None:
    """The key of the rule in that place."""
    keys = [f"paths.{path}.threads" for path in site.paths]
    return keys[number - 1] if 0 < number <= len(keys) else None


def abandoned(count: int, site: Site) -> int:
    """How many threads a worker has written off: a worker where more hang than it may have is recycled."""
    return min(count, 2 * site.most_threads)


def judge(
    before: Shortage | None, workers: Sequence[ThreadsView], now: float
) -> tuple[Shortage | None, Begins | Ends | None]:
    """One look at all workers that serve: what is known after it, and what to log."""
    if not workers:  # they have been stopped or have died, and nobody is served: it goes on
        return before, None
    if any(w.queued for w in workers) or all(w.short for w in workers):
        return _short(before or Shortage(now, now), workers, now)
    if before is None or not before.said:
        return None, None
    if now - before.last < CALM:
        return before, None
    return None, Ends(dict(_course(before)))


def _short(before: Shortage, workers: Sequence[ThreadsView], now: float) -> tuple[Shortage, Begins | None]:
    waits = [now - before.since if w.oldest is None else w.oldest for w in workers if w.queued]
    after = replace(
        before,
        last=now,
        queued=max(before.queued, sum(w.queued for w in workers)),
        oldest=max(before.oldest, *waits, 0.0),
    )
    if before.said or now - before.since < PATIENCE:
        return after, None
    return replace(after, said=True), Begins(dict(_facts(workers, waits)))


def _facts(workers: Sequence[ThreadsView], waits: Sequence[float]) -> Iterator[tuple[str, str]]:
    """Of those workers that are short of threads."""
    short = [w for w in workers if w.short]
    yield "workers", f"{len(short)} of {len(workers)}"
    yield "threads", f"{sum(w.busy for w in short)} of {sum(w.total for w in short)}"
    yield "queued", str(sum(w.queued for w in short))
    if waits:
        yield "oldest", duration(max(waits))
    yield "taken_by", ", ".join(_shares(request for w in short for request in w.in_hand))
    yield "next", _advice(short, everywhere=len(short) == len(workers))


def _advice(short: Sequence[ThreadsView], *, everywhere: bool) -> str:
    if any(w.computes for w in short):
        return _COMPUTE
    key, one = ("green", "greenlet") if any(w.green for w in short) else ("threads", "thread")
    return f"{_EVERYWHERE if everywhere else _SOMEWHERE}; {_STREAMS}".format(key=key, one=one)


def _shares(requests: Iterable[tuple[str, str]]) -> Iterator[str]:
    """`GET /reports/* 75 %`: the largest groups, and what they leave."""
    groups: Counter[str] = Counter()
    for (method, target), count in Counter(requests).items():
        groups[f"{method} {group_of(target)}"] += count
    largest, total = groups.most_common(GROUPS), groups.total()
    yield from (f"{group} {share(count, total)}" for group, count in largest)
    others = total - sum(count for _, count in largest)
    if others:
        yield f"others {share(others, total)}"


def _course(shortage: Shortage) -> Iterator[tuple[str, str]]:
    yield "lasted", duration(shortage.last - shortage.since)
    yield "most_queued", str(shortage.queued)
    if shortage.queued:
        yield "longest_wait", duration(shortage.oldest)
