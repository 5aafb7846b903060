"""What is done before the master is told who makes the worker grow, in the worker's main thread, which is
never in the application: the garbage collector gets its chance, and only what goes on growing after that is
named. What has stopped is taken back.

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
from superwsgi.worker.memory.blame import Growth, goes_on, growing
from superwsgi.worker.memory.watch import MemoryWatch

SECOND: Final = 1_000_000_000

_SHARE: Final = 50
"""It computes for no more than this part of the time: 5 to 20 ms, in which others take turns with it. A
worker that answers thousands a second while it grows would have something to judge twenty times a second."""

_AGAIN: Final = 10 * SECOND
"""Between two reports, of which the later one only has better figures."""

_STOPPED: Final = 3
"""Who was named before is taken back if so many judgements in a row do not find that it goes on."""

_IN_VAIN: Final = 60 * SECOND
_LONGEST: Final = 3600 * SECOND
"""The pause after the collector was run for nothing; twice as long each time, up to the longest."""


class LeakTrial:
    """`say` is told which requests make it grow, whenever that changes."""

    def __init__(self, watch: MemoryWatch, say: Callable[[Grows], None]) -> None:
        self._watch = watch
        self._say = say
        self._tried: list[Growth] = []  # since `_begun`, after the collector has run
        self._begun = 0
        self._confirmed: dict[str, int] = {}  # that went on growing, and since when
        self._not_before = 0
        self._no_trial_before = 0
        self._pause = _IN_VAIN
        self._named: list[Growth] = []  # to the master
        self._said_at = 0
        self._missed = 0  # judgements in a row that have not found all of these

    def fileno(self) -> int:
        """Readable when there is something to judge."""
        return self._watch.news

    def judge(self) -> bool:
        """Look at what there is; False if that would take too much time of others now."""
        os.eventfd_read(self._watch.news)
        now, spent = time.monotonic_ns(), time.thread_time_ns()
        if not self._watch.grows:
            self._tried = []
            self._name([one for one in self._named if one.is_no_fill], now)
            return True
        if now < self._not_before:
            return False
        tried, found = bool(self._tried), []
        if tried:
            self._go_on(now)
        else:
            found = growing(self._watch.looks())
        self._not_before = time.monotonic_ns() + _SHARE * (time.thread_time_ns() - spent)
        if not tried:
            self._begin(found, now)  # it may have the collector run, which is seldom
        return True

    def _begin(self, found: list[Growth], now: int) -> None:
        known = [one for one in found if one.kind in self._confirmed]
        self._name_lasting(known, now)
        if len(known) < len(found) and now >= self._no_trial_before:
            if gc.isenabled():
                gc.collect()
            self._tried = found
            self._begun = time.monotonic_ns()

    def _go_on(self, now: int) -> None:
        later = [look for look in self._watch.looks() if look.at >= self._begun]
        verdicts = [(one, goes_on(later, one)) for one in self._tried]
        if any(verdict is None for _, verdict in verdicts):
            return
        guilty = [one for one, verdict in verdicts if verdict]
        self._tried = []
        if guilty:
            self._pause = _IN_VAIN
            for one in guilty:
                self._confirmed.setdefault(one.kind, one.since)
            self._name(_anew(guilty, growing(self._watch.looks())), now)
        else:
            self._no_trial_before = now + self._pause
            self._pause = min(2 * self._pause, _LONGEST)

    def _name_lasting(self, found: list[Growth], now: int) -> None:
        """Those that are found, and for a while those that are not found any more: they may be again."""
        gone = _kinds(self._named) - _kinds(found)
        self._missed = self._missed + 1 if gone else 0
        if self._missed < _STOPPED:
            found = found + [one for one in self._named if one.kind in gone]
        self._name(found, now)

    def _name(self, found: list[Growth], now: int) -> None:
        """Unless that has been said before."""
        found = found[:MOST_LEAKS]
        news = _verdicts(found) != _verdicts(self._named)
        if not (news or (found and now >= self._said_at + _AGAIN)):
            return
        self._named, self._said_at = found, now
        self._say(Grows([self._spelled(one, now) for one in found]))

    def _spelled(self, one: Growth, now: int) -> LeakingKind:
        seconds = max(0, now - self._confirmed[one.kind]) / SECOND
        return LeakingKind(one.kind, one.each, one.requests, seconds, proven=one.is_no_fill)


def _kinds(found: list[Growth]) -> set[str]:
    return {one.kind for one in found}


def _verdicts(found: list[Growth]) -> set[tuple[str, bool]]:
    return {(one.kind, one.is_no_fill) for one in found}


def _anew(guilty: list[Growth], found: list[Growth]) -> list[Growth]:
    """With the latest figures."""
    latest = {one.kind: one for one in found}
    return [latest.get(one.kind, one) for one in guilty]
