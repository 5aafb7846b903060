"""What the site has counted since its start, over workers that come and go, reloads and upgrades.

Applications can write anything on a scoreboard. So what is taken away there stays counted, and what nobody
could have counted in the time that a worker has served is not believed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from superwsgi.board.counts import Counts
from superwsgi.board.scoreboard import Scoreboard
from superwsgi.master.handover import HeldTotals
from superwsgi.master.policy import last_minute
from superwsgi.master.policy.causes import Cause
from superwsgi.master.policy.last_minute import LastMinute, Sample
from superwsgi.master.processes.handles import WorkerHandle
from superwsgi.master.totals.by_kind import BySiteKind
from superwsgi.master.totals.by_path import BySitePath

FASTEST: Final = 1_000_000
"""Requests a second that no worker answers: the fastest ones answer a tenth of that. Nor does one add as many
seconds to its latencies each second, or accept as many connections."""

WARM: Final = 1.0
"""Seconds for which a worker has served before it is judged by its answers."""

_WIDEST: Final = 1 << 40
"""Bytes a second that none sends."""

Living = Iterable[tuple[Scoreboard, WorkerHandle]]
"""The workers that there are, each with its scoreboard."""


class Totals:
    """Those of one site."""

    def __init__(self) -> None:
        self._ended = Counts()
        self._ended_cpu = 0.0
        self.by_path = BySitePath()
        self.by_kind = BySiteKind()
        self.restarts: Counter[Cause] = Counter()
        self._samples: list[Sample] = []

    def restore(self, held: HeldTotals) -> None:
        """Go on with those of an earlier program of this process."""
        self._ended, self._samples = held.ended, list(held.samples)
        self._ended_cpu, self.restarts = held.cpu, Counter(held.restarts)
        self.by_path = BySitePath(held.paths)

    def hold(self) -> HeldTotals:
        return HeldTotals(self._ended, self._samples, self._ended_cpu, self.by_path.all(), self.restarts)

    def bury(self, worker: WorkerHandle, board: Scoreboard, now: float) -> None:
        """A worker has ended, and counts no more."""
        self._look_at(worker, board, now)
        self._ended += worker.counts
        self._ended_cpu += worker.cpu_seconds or 0.0

    def restarted(self, cause: Cause | None) -> None:
        """A worker has ended because of this, and is to be replaced; None for one that was to go."""
        if cause is not None:
            self.restarts[cause] += 1

    def cpu(self, living: Living) -> float:
        """CPU seconds of all workers that there are, at the last look at each, and of those that there
        were."""
        return self._ended_cpu + sum(worker.cpu_seconds or 0.0 for _, worker in living)

    def now(self, living: Living, now: float) -> Counts:
        """All that has been counted so far."""
        total = self._ended
        for board, worker in living:
            self._look_at(worker, board, now)
            total += worker.counts
        return total

    def look(self, living: Living, now: float) -> None:
        """Take a sample, if one is due."""
        if last_minute.due(self._samples, now):
            kept = last_minute.keep(self._samples, now)
            self._samples = [*kept, Sample(now, self.now(living, now))]

    def lately(self, total: Counts, now: float) -> LastMinute:
        """The last minute, up to what is counted now."""
        return last_minute.since(self._samples, Sample(now, total))

    def look_at_kinds(self, worker: WorkerHandle, board: Scoreboard, now: float, *, judged: bool) -> None:
        """Count how its answers have turned out since the last look. If it is to be `judged` by them, those
        of its first second do not count: its caches are cold, its connections still to be made."""
        served = 0.0 if worker.ready_at is None else now - worker.ready_at
        if judged and not worker.kinds and served < WARM:
            return
        table = board.kind_table(worker.slot)
        if worker.kinds or not judged:
            self.by_kind.add(worker.generation, worker.kinds, table, round(FASTEST * (1 + served)))
        worker.kinds = table

    def _look_at(self, worker: WorkerHandle, board: Scoreboard, now: float) -> None:
        served = 1.0 + (0.0 if worker.ready_at is None else now - worker.ready_at)
        counts = board.counts(worker.slot)
        if is_possible(counts, served):
            worker.counted(counts)
        if board.paths:
            table = board.path_table(worker.slot)
            worker.paths = self.by_path.add(worker.paths, table, round(FASTEST * served))


def is_possible(counts: Counts, seconds: float) -> bool:
    """Whether a worker can have counted as much in that time."""
    each = (*counts.answers, *counts.refused, *counts.app_latency, *counts.latency)
    others = counts.accepted, counts.turned_away, counts.unlogged, counts.quarantined, counts.shed
    upgrades = counts.upgrades, counts.not_upgraded
    most = max(*each, *others, *upgrades, counts.app_time, counts.time)
    return most <= FASTEST * seconds and counts.sent <= _WIDEST * seconds
