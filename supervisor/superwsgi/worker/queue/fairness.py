"""Which waiting request is next: two policies over the first in line of each kind.

First come, first served (`fifo`) lets one slow page take the site, with any number of threads: quick requests
stand in line behind slow ones. With `fair`, if quick ones have come lately,

- they pass slow ones, each of which lets others pass for a while, and no longer,
- the last free thread is kept for them for that while,
- slow ones begin a gap apart: those that begin together end together, and until then no thread is free.

While and gap are a sixteenth of the time that the slow request is expected to take itself. With many threads
they are less, half a turn and three quarters of one: a turn is the time between two threads that become free
when all of them run such requests. Neither is more than LONGEST.

Bound: if expectations are right, a request waits longer than in turn by at most its own while and gap and a
quarter of its own time, and those of each request that came before it since all threads were taken. The
quarter is for the last one that passed: it has to end first. Slow requests that keep all threads busy keep
at least nine tenths of their throughput.

Times are ns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from superwsgi.worker.connection.alarm import NEVER, SECOND

MUCH: Final = 4
"""A request is slow beside another one if it is expected to take so many times as long."""

PATIENCE: Final = 16

LONGEST: Final = 2 * SECOND
"""Event streams take minutes, and a sixteenth of ten minutes is more than `timeouts.queue` allows."""


class Head:
    """The first in line of one kind of request. `passed`: when it first had to let others pass although there
    was a thread for it, NEVER if it never had."""

    __slots__ = ("expected", "passed", "since")

    def __init__(self, expected: int, since: int) -> None:
        self.expected = expected
        self.since = since
        self.passed = NEVER

    def let_pass(self, now: int) -> None:
        if self.passed > now:
            self.passed = now


class Turn:
    """Who is next: `head`, or nobody before `until`."""

    __slots__ = ("head", "until")

    def __init__(self, head: Head | None, until: int = NEVER) -> None:
        self.head = head
        self.until = until


def fifo(heads: Sequence[Head]) -> Turn:
    """The one that came first of `heads`, which are not empty."""
    return Turn(_oldest(heads))


def fair(heads: Sequence[Head], now: int, threads: int, last: bool, short: int, started: int) -> Turn:
    """Who of `heads`, which are not empty, gets one of `threads`, the `last` free one or not: the oldest, or
    the shortest until the oldest may begin. `short` is the shortest expectation of a request that has come
    lately, NEVER if there is none; `started` when the latest slow one began."""
    oldest, shortest = _oldest(heads), _shortest(heads)
    short = min(short, shortest.expected)
    passed = is_slow(oldest, shortest.expected)
    begins = _begins(oldest, now, threads, last or passed, short, started)
    if begins <= now:
        return Turn(oldest)
    oldest.let_pass(now)
    if not passed:
        return Turn(None, begins)
    sooner = _begins(shortest, now, threads, last, short, started)
    if sooner <= now:
        return Turn(shortest)
    shortest.let_pass(now)
    return Turn(None, min(begins, sooner))


def _begins(head: Head, now: int, threads: int, lets_pass: bool, short: int, started: int) -> int:
    """When it may: `lets_pass` if it would take the last thread, or if others wait that take less."""
    if not is_slow(head, short):
        return now
    passed, gap, patience = min(head.passed, now), gap_before(head, threads), while_of(head, threads)
    begins = started + gap
    if lets_pass:
        begins = max(begins, passed + patience)
    return min(begins, passed + patience + gap)


def is_slow(head: Head, short: int) -> bool:
    """Whether it takes so much longer than `short` that this need not wait for it."""
    return head.expected >= short * MUCH


def while_of(head: Head, threads: int) -> int:
    """How long it lets others pass: half a turn, or less."""
    return min(LONGEST, head.expected // max(PATIENCE, 2 * threads))


def gap_before(head: Head, threads: int) -> int:
    """How long after the last slow one it begins: three quarters of a turn, or less."""
    return min(LONGEST, head.expected // max(PATIENCE, threads + threads // 3))


def _oldest(heads: Sequence[Head]) -> Head:
    found = heads[0]
    for head in heads:
        if head.since < found.since:
            found = head
    return found


def _shortest(heads: Sequence[Head]) -> Head:
    found = heads[0]
    for head in heads:
        if head.expected < found.expected:
            found = head
    return found
