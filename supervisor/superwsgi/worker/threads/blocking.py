"""Whether the next request will block, judging by how long others did: over all, and by kind once some kinds
do and others do not.

No request pays for that in a worker that only computes: kinds are looked for after the monitor has taken the
baton from a request that slept, until all kinds are alike again. Times are ns.
"""

from __future__ import annotations

import resource
import time
from typing import Final

from superwsgi.http.request.head import Request
from superwsgi.http.request.path_groups import asked_kind

BLOCKED: Final = 200_000
"""A request that blocks for this many ns or more counts: two thread switches and some margin."""

_WEIGHT: Final = 1 / 8
"""Of the newest request in a kind's share of those that block."""

_PASS: Final = 0.25
"""The share above which a kind is expected to."""

_FIRST: Final = 0.5
"""The share of a kind that has just been seen to block: once more, and it is expected to, or soon no more."""

KINDS: Final = 64
TARGETS: Final = 512
"""Clients choose what they ask for. What comes once all places are taken is judged by all the others."""

_SUSPICIOUS: Final = 64
"""For so many measured calls after one that seemed to block, it is found out whether the thread ever waited:
two more system calls for each."""

_THREAD_CLOCK: Final = 6
"""CPUCLOCK_PERTHREAD and CPUCLOCK_SCHED: with a thread's number, the clock of its CPU time, composed as in
pthread_getcpuclockid(3). Unlike a look into /proc it keeps the GIL."""


class Expectation:
    """Whether the next request will block.

    What counts is how many requests block at all, not for how long: one slow query in fifty says nothing
    about the next.
    """

    __slots__ = ("blocking", "share")

    def __init__(self, share: float = 0.0) -> None:
        self.share = share  # of recent requests that blocked
        self.blocking = share > _PASS

    def learn(self, blocked: bool) -> None:
        self.share += ((1.0 if blocked else 0.0) - self.share) * _WEIGHT
        self.blocking = self.share > _PASS


class Blocking:
    """What to expect of which request. Called from any thread: one of two samples that come at the same time
    may be lost."""

    def __init__(self) -> None:
        self.all = Expectation()
        self._kinds: dict[str, Expectation] = {}
        self._targets: dict[tuple[str, bytes], Expectation] = {}  # of the same, without looking for the kind
        self._suspicious = 0

    def of(self, request: Request | None) -> Expectation:
        """On the hot path."""
        if not self._kinds or request is None:
            return self.all
        return self._targets.get((request.method, request.target)) or self._find(request)

    def learn(self, expectation: Expectation, blocked: bool) -> None:
        """A request turned out to block, or not to; `expectation` is what `of` had said of it."""
        self.all.learn(blocked)
        if expectation is not self.all:
            expectation.learn(blocked)
            if not (blocked or self._differ()):
                self._kinds, self._targets = {}, {}

    def tell_apart(self, request: Request) -> None:
        """This request sleeps: from now on look which kinds do."""
        kind = asked_kind(request.method, request.target)
        if kind not in self._kinds and len(self._kinds) < KINDS:
            self._kinds[kind] = Expectation(_FIRST)
            self._targets = {}

    def waits(self) -> int:
        """How often the calling thread has waited so far, for `seemed`; -1 while nothing seems to block."""
        if not self._suspicious:
            return -1
        self._suspicious -= 1
        return _waits()

    def seemed(self, unexplained: int, waits: int) -> bool | None:
        """Whether a call blocked that took the calling thread `unexplained` ns in which this process did not
        compute; None if that cannot be known.

        It is the *process* that did not compute. With the thread's own time, waiting for the GIL would count
        as blocking, so once several threads compute at the same time, the expectation would keep it that way.
        But another process may have had the CPU, as two workers on one have in turn: then this thread never
        waited for anything.
        """
        if unexplained <= BLOCKED:
            return False
        known = waits >= 0
        self._suspicious = _SUSPICIOUS
        return _waits() != waits if known else None

    def _find(self, request: Request) -> Expectation:
        kind = asked_kind(request.method, request.target)
        found = self._kinds.get(kind)
        if found is None:
            if len(self._kinds) >= KINDS:
                return self.all
            found = self._kinds[kind] = Expectation(self.all.share)
        if len(self._targets) < TARGETS:
            self._targets[request.method, request.target] = found
        return found

    def _differ(self) -> bool:
        """Whether some kinds block."""
        return any(each.blocking for each in list(self._kinds.values()))


def computed(native_id: int) -> int:
    """How long a thread of this process has computed so far; 0 if it has ended."""
    try:
        return time.clock_gettime_ns((~native_id << 3) | _THREAD_CLOCK)
    except OSError:
        return 0


def _waits() -> int:
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
