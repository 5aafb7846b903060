"""What has happened, for the time line of the charts: from the difference between two looks at the site; and
if there are more incidents than before, from what the master says of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from superwsgi.admin.charts.history import ChartMark, LastLook
from superwsgi.control import Snapshot, Why
from superwsgi.incidents import Incident
from superwsgi.snapshot import RECYCLED

_MOST: Final = 40
"""Incidents that are asked for at a time."""

_DUE: Final = "to be recycled"
_KINDS: Final = {"died": "death", "companion died": "death", _DUE: "recycle"}

AskWhy = Callable[[int], Why]
"""Asks the master for that many incidents. Raises Unanswered."""


class Marks:
    """`ask` is called only when there is something new."""

    def __init__(self, ask: AskWhy) -> None:
        self._ask = ask

    def __call__(self, snapshot: Snapshot, seen: LastLook, when: float) -> list[ChartMark]:
        """What is new since the look that `seen` is of, which becomes this one. Raises Unanswered."""
        told = sum(snapshot.totals.incidents.values()) if snapshot.totals is not None else 0
        found = [] if told == seen.told else [*self._incidents(seen)]
        found += [*_reloads(snapshot, seen, when), *_recycles(snapshot, seen, when)]
        seen.told = told
        seen.when = when
        seen.generation = snapshot.generation
        seen.recycled = {worker.number for worker in snapshot.workers if worker.pid and worker.recycle}
        return sorted(found, key=lambda mark: mark.t)

    def _incidents(self, seen: LastLook) -> Iterator[ChartMark]:
        """Each once, however often it happens again."""
        incidents = [one for one in self._ask(_MOST).incidents if one.number > seen.newest]
        seen.newest = max([seen.newest, *(one.number for one in incidents)])
        for one in incidents:
            if one.event == _DUE and one.worker is not None:
                seen.recycled.add(one.worker)
            yield ChartMark(one.when, _KINDS.get(one.event, "incident"), _words(one), one.number)


def _words(one: Incident) -> str:
    return f"{one.title}{one.cause and ': '}{one.cause}"[:200]


def _reloads(snapshot: Snapshot, seen: LastLook, when: float) -> Iterator[ChartMark]:
    if seen.generation is not None and snapshot.generation not in (None, seen.generation):
        yield ChartMark(when, "reload", f"generation {snapshot.generation} has taken over")


def _recycles(snapshot: Snapshot, seen: LastLook, when: float) -> Iterator[ChartMark]:
    """Those that are no incidents, as on request; also one that was over before this look: of each worker the
    last one."""
    for worker in snapshot.workers:
        end = worker.last_death
        if worker.number in seen.recycled:
            continue
        if worker.recycle and worker.pid:
            yield ChartMark(when, "recycle", f"worker {worker.number} is recycled: {worker.recycle}"[:200])
        elif end is not None and end.how.startswith(RECYCLED) and when - end.ago > seen.when:
            yield ChartMark(when - end.ago, "recycle", f"worker {worker.number} was {end.how}"[:200])
