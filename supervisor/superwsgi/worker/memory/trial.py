"""What is done before a leak is named, in the worker's main thread, which is never in the application: the
garbage collector gets its chance, and only what goes on growing after that is named.

The collector runs in full once before a name is given, and not again for a while if that was in vain: it
stops all threads for some 0.1 us for each object that the application has made since its start.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from typing import Final

from superwsgi.messages import MOST_LEAKS, Grows, LeakingKind
from superwsgi.worker.memory.blame import Leak, goes_on, leaks
from superwsgi.worker.memory.watch import MemoryWatch

SECOND: Final = 1_000_000_000

_SHARE: Final = 50
"""It computes for no more than this part of the time: 5 to 20 ms, in which others take turns with it. A
worker that answers thousands a second while it grows would have something to judge twenty times a second."""

_AGAIN: Final = 10 * SECOND
"""Between two reports, which only have better figures."""

_IN_VAIN: Final = 60 * SECOND
_LONGEST: Final = 3600 * SECOND
"""The pause after the collector was run for nothing; twice as long each time, up to the longest."""


class LeakTrial:
    """`say` is told which requests leak, whenever that changes."""

    def __init__(self, watch: MemoryWatch, say: Callable[[Grows], None]) -> None:
        self._watch = watch
        self._say = say
        self._tried: list[Leak] = []  # since `_begun`, after the collector has run
        self._begun = 0
        self._named: dict[str, int] = {}  # since when
        self._not_before = 0
        self._no_trial_before = 0
        self._pause = _IN_VAIN
        self._said_at = 0

    def fileno(self) -> int:
        """Readable when there is something to judge."""
        return self._watch.news

    def judge(self) -> bool:
        """Look at what there is; False if that would take too much time of others now."""
        os.eventfd_read(self._watch.news)
        now, spent = time.monotonic_ns(), time.thread_time_ns()
        if now < self._not_before:
            return False
        tried, found = bool(self._tried), []
        if tried:
            self._go_on(now)
        else:
            found = leaks(self._watch.looks())
        self._not_before = time.monotonic_ns() + _SHARE * (time.thread_time_ns() - spent)
        if not tried:
            self._begin(found, now)  # it may have the collector run, which is seldom
        return True

    def _begin(self, found: list[Leak], now: int) -> None:
        known = [one for one in found if one.kind in self._named]
        if len(known) < len(found) and now >= self._no_trial_before:
            if gc.isenabled():
                gc.collect()
            self._tried = found
            self._begun = time.monotonic_ns()
        elif known and now >= self._said_at + _AGAIN:
            self._name(known, now)

    def _go_on(self, now: int) -> None:
        later = [look for look in self._watch.looks() if look.at >= self._begun]
        verdicts = [(one, goes_on(later, one)) for one in self._tried]
        if any(verdict is None for _, verdict in verdicts):
            return
        guilty = [one for one, verdict in verdicts if verdict]
        self._tried = []
        if guilty:
            self._pause = _IN_VAIN
            self._name(_anew(guilty, leaks(self._watch.looks())), now)
        else:
            self._no_trial_before = now + self._pause
            self._pause = min(2 * self._pause, _LONGEST)

    def _name(self, guilty: list[Leak], now: int) -> None:
        self._said_at = now
        for one in guilty:
            self._named.setdefault(one.kind, one.since)
        words = [
            LeakingKind(one.kind, one.each, one.requests, max(0, now - self._named[one.kind]) / SECOND)
            for one in guilty[:MOST_LEAKS]
        ]
        self._say(Grows(words))


def _anew(guilty: list[Leak], found: list[Leak]) -> list[Leak]:
    """With the latest figures."""
    latest = {one.kind: one for one in found}
    return [latest.get(one.kind, one) for one in guilty]
