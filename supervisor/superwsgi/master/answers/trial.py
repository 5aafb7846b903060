"""What a new generation has answered since it serves, beside or after the one that it is to replace; and how
that is told. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from superwsgi.board.counts import METHODS
from superwsgi.board.path_table import OTHER, Series
from superwsgi.log.spelling import share
from superwsgi.master.answers.evidence import NOTHING, Answered, Compared, Reference
from superwsgi.master.answers.past import Past
from superwsgi.master.totals.by_kind import KindCount

_TOLD: Final = 8
"""Kinds that are told one by one."""

_ADVICE: Final = (
    "What the application wrote about them stands in the error log, under the ids of these requests. Should "
    "the generation before fail as well, something has failed that both of them use, such as a database."
)

ComparedKind = Compared[Series]


@dataclass(slots=True)
class Trial:
    """That of one generation, by its number."""

    generation: int
    answered: dict[Series, Answered] = field(default_factory=dict)
    latest: dict[Series, tuple[str, str]] = field(default_factory=dict)  # path and id of the last failure
    _failed_in: dict[Series, set[int]] = field(default_factory=dict)
    _looks: int = 0

    def add(self, counted: Mapping[Series, KindCount]) -> None:
        """Another look."""
        self._looks += 1
        for series, more in counted.items():
            self.answered[series] = self.answered.get(series, NOTHING) + answered(more)
            if more.failed:
                self.latest[series] = more.path, more.id
                self._failed_in.setdefault(series, set()).add(self._looks)

    def compared(self, past: Past) -> list[ComparedKind]:
        """Each kind with its past. Those that are not told apart have none: they need not be the same."""
        return [
            Compared(
                series,
                now,
                frozenset(self._failed_in.get(series, ())),
                past.reference(series) if series.group != OTHER else Reference(),
            )
            for series, now in self.answered.items()
        ]

    def about(self, series: Series) -> dict[str, str]:
        """The fields that name the last request of a kind that failed."""
        path, request_id = self.latest.get(series, ("", ""))
        return {"request": request_id, "method": METHODS[series.method], "target": path} if request_id else {}

    def detail(self, kinds: Sequence[ComparedKind]) -> str:
        """ComparedKind by kind, below the log's line."""
        lines = [f"{told(kind)}{self._last(kind.name)}" for kind in kinds[:_TOLD]]
        more = [f"and {len(kinds) - _TOLD} more"] if len(kinds) > _TOLD else []
        return "\n".join([*lines, *more, _ADVICE])

    def _last(self, series: Series) -> str:
        path, request_id = self.latest.get(series, ("", ""))
        return (
            f"; the last one was {METHODS[series.method]} {path}, request {request_id}" if request_id else ""
        )


def answered(counted: KindCount) -> Answered:
    return Answered(counted.failed, counted.good, counted.squares)


def named(series: Series) -> str:
    """`GET /orders/*`."""
    group = "of pages that are not told apart" if series.group == OTHER else series.group
    return f"{METHODS[series.method]} {group}"


def told(kind: ComparedKind) -> str:
    """`GET /basket: 43 of 210 answers were 5xx (20 %), 12 of 8031 before (<1 %)`."""
    before = kind.before.together
    past = f"{_counts(before)} before ({_share(before)})" if before.answers else "it was not asked for before"
    about = "about " if kind.now.each > 1 else ""
    return f"{named(kind.name)}: {_counts(kind.now, about)} answers were 5xx ({_share(kind.now)}), {past}"


def reason(kinds: Sequence[ComparedKind], tolerated: float) -> str:
    """Why a generation goes back: the worst of these kinds, and how many more there are."""
    more = f"; and {len(kinds) - 1} more" if len(kinds) > 1 else ""
    return f"{told(kinds[0])}{more} (rollout.max_errors: {tolerated * 100:g}%)"


def _counts(answered: Answered, about: str = "") -> str:
    return f"{answered.failed} of {about}{answered.answers}"


def _share(answered: Answered) -> str:
    return share(answered.failed, answered.answers)
