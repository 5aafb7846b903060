"""What the site has counted since its start, over workers that come and go, reloads and upgrades.

Of each worker the most that was ever on the scoreboard: what applications take away there stays counted, and
what they add is no more than counts.MOST.
"""

from __future__ import annotations

from collections.abc import Iterable

from superwsgi.counts import Counts
from superwsgi.master.handover import HeldTotals
from superwsgi.master.policy import last_minute
from superwsgi.master.policy.last_minute import LastMinute, Sample
from superwsgi.master.processes.handles import WorkerHandle
from superwsgi.scoreboard import Scoreboard

Living = Iterable[tuple[Scoreboard, WorkerHandle]]
"""The workers that there are, each with its scoreboard."""


class Totals:
    """Those of one site."""

    def __init__(self) -> None:
        self._ended = Counts()
        self._samples: list[Sample] = []

    def restore(self, held: HeldTotals) -> None:
        """Go on with those of an earlier program of this process."""
        self._ended, self._samples = held.ended, list(held.samples)

    def hold(self) -> HeldTotals:
        return HeldTotals(self._ended, self._samples)

    def bury(self, worker: WorkerHandle, counts: Counts) -> None:
        """A worker has ended, and counts no more."""
        worker.counted(counts)
        self._ended += worker.counts

    def now(self, living: Living) -> Counts:
        """All that has been counted so far."""
        total = self._ended
        for board, worker in living:
            worker.counted(board.counts(worker.slot))
            total += worker.counts
        return total

    def look(self, living: Living, now: float) -> None:
        """Take a sample, if one is due."""
        if last_minute.due(self._samples, now):
            self._samples = [*last_minute.keep(self._samples, now), Sample(now, self.now(living))]

    def lately(self, total: Counts, now: float) -> LastMinute:
        """The last minute, up to what is counted now."""
        return last_minute.since(self._samples, Sample(now, total))
