"""What a site has answered, by method and group of paths: the sums over all workers there are and were. Pure:
the workers' tables are read elsewhere.

What a look at a table finds more than the look before is added here, so nothing ever goes back, whatever
becomes of workers; and what an application writes there counts only as far as a worker can have counted it.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import sub
from typing import Final

from superwsgi.board.counts import CLASSES, MOST
from superwsgi.board.path_table import (
    ANSWERS_AT,
    COUNTS,
    GROUPS,
    OTHER,
    TIMES,
    Row,
    Series,
    changed,
    counts_at,
    put,
)

_CLIENTS: Final = ANSWERS_AT + CLASSES.index("4xx")
_BEHIND: Final = ANSWERS_AT + len(CLASSES)

_NS: Final = 1_000_000_000

Counted = tuple[Series, tuple[int, ...]]


class BySitePath:
    """Those of one site. A group that once was among the others stays there: GROUPS have their own counts,
    and half of these places are for groups that were answered otherwise than by a 4xx."""

    def __init__(self, counted: Iterable[Counted] = ()) -> None:
        self._series = {series: list(counts) for series, counts in counted}
        self._groups = {series.group for series in self._series} - {OTHER}

    def all(self) -> list[Counted]:
        """Each with its counts, as in a row of a worker's table; in the order of their names."""
        return [(series, tuple(counts)) for series, counts in sorted(self._series.items())]

    def add(self, before: bytes, after: bytes, most: int) -> bytes:
        """Count what a worker's table has more than `before`, where a worker can have counted at most as
        many: requests, and seconds in the sums of times. Returns what is believed of it: `before` of the next
        look."""
        if before == after:
            return before
        before = before.ljust(len(after), b"\0")
        believed = bytearray(before)
        for row in changed(before, after):
            if row.series is not None and _is_possible(row, most):
                known = counts_at(before, row.at)
                highest = tuple(map(max, known, row.counts))
                put(believed, row.at, after, highest)
                self._add(row.series, list(map(sub, highest, known)))
        return bytes(believed)

    def _add(self, series: Series, more: list[int]) -> None:
        if not any(more):
            return
        if series.group not in self._groups and not self._has_place(more):
            series = Series(series.method, OTHER)
        elif series.group != OTHER:
            self._groups.add(series.group)
        counts = self._series.setdefault(series, [0] * COUNTS)
        for at, each in enumerate(more):
            if each:
                counts[at] = min(counts[at] + each, MOST)

    def _has_place(self, more: list[int]) -> bool:
        served = sum(more[ANSWERS_AT:_BEHIND]) > more[_CLIENTS]
        return len(self._groups) < (GROUPS if served else GROUPS // 2)


def _is_possible(row: Row, most: int) -> bool:
    times, counts = row.counts[:TIMES], row.counts[TIMES:]
    return max(counts) <= most and max(times) <= most * _NS
