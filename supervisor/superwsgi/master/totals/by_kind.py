"""How the answers of each generation have turned out, by kind: what a look at its workers' tables finds more
than the look before. It is kept until it is taken; whoever takes it knows what to make of it
(master/answers/).

What an application writes there counts only as far as a worker can have counted it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final, NamedTuple

from superwsgi.board.kind_table import KindRow, more
from superwsgi.board.path_table import OTHER, Series

MOST: Final = 256
"""Kinds that are told apart; what is beyond is of OTHER. Each worker has half as many, but need not have the
same as its siblings."""


class KindCount(NamedTuple):
    """Answers of a kind, as in a row of a worker's table, and the latest failure."""

    failed: int = 0
    good: int = 0
    squares: int = 0
    path: str = ""
    id: str = ""


class BySiteKind:
    """Of one site, by the number of a generation."""

    def __init__(self) -> None:
        self._new: defaultdict[int, dict[Series, KindCount]] = defaultdict(dict)

    def add(self, generation: int, before: bytes, after: bytes, most: int) -> None:
        """Count what a worker's table has more than `before`, where it can have counted at most as many
        answers."""
        if before != after:
            for row in more(before, after):
                if _is_possible(row, most):
                    _count(self._new[generation], row)

    def take(self, generation: int) -> dict[Series, KindCount]:
        """What was found since it was taken last."""
        return self._new.pop(generation, {})

    def forget_others(self, generations: frozenset[int]) -> None:
        """Nobody will take what other generations answer."""
        for generation in self._new.keys() - generations:
            del self._new[generation]


def _is_possible(row: KindRow, most: int) -> bool:
    return 0 <= row.failed <= most and 0 <= row.good <= row.squares <= max(1, row.good) * most


def _count(kinds: dict[Series, KindCount], row: KindRow) -> None:
    series = row.series
    if series not in kinds and len(kinds) >= MOST:
        series = Series(series.method, OTHER)
    before = kinds.get(series, KindCount())
    latest = (row.path, row.id) if row.failed else (before.path, before.id)
    kinds[series] = KindCount(
        before.failed + row.failed, before.good + row.good, before.squares + row.squares, *latest
    )
