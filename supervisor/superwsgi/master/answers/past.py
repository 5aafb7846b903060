"""How a site has answered each kind in the last hours: the reference for a new generation. Pure; times are
monotonic seconds.

By the hour, and by the generation that answered: of the newest ones as many count as have ENOUGH answers of
a kind. A page that was mended this morning is not allowed to fail again because it did yesterday, and one
that is asked for once a minute has a past nevertheless. Of each hour the worst two minutes are remembered,
too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from superwsgi.board.path_table import OTHER, Series
from superwsgi.master.answers.evidence import NOTHING, Answered, Reference, badness

ENOUGH: Final = 1000
"""Answers of a kind: with fewer, what is older counts as well."""

HOUR: Final = 3600.0
HOURS: Final = 12
"""As many are remembered."""

MINUTE: Final = 60.0

_KINDS: Final = 256
"""Of an hour; others count together."""

_WORST: Final = 2
"""Minutes of a kind that are kept of an hour: those with most failures."""


class KindsHour(Struct):
    """One kind in an hour: all `together`, and its worst minutes, the worst one first."""

    series: Series
    together: Answered = NOTHING
    worst: list[Answered] = []


class Hour(Struct):
    """An hour, or less of it if another generation took over; it `began` then."""

    began: float
    kinds: list[KindsHour] = []


class Past:
    """That of one site."""

    def __init__(self, hours: Iterable[Hour] = (), now: float = 0.0) -> None:
        """`hours` are those that an earlier program of this process remembered."""
        self._hours: list[tuple[float, dict[Series, KindsHour]]] = [
            (hour.began, {kind.series: kind for kind in hour.kinds}) for hour in hours
        ]
        self._minute: dict[Series, Answered] = {}
        self._minute_began = now

    def hold(self, now: float) -> list[Hour]:
        """For the next program of this process."""
        self.cut(now)
        return [Hour(began, list(kinds.values())) for began, kinds in self._hours]

    def add(self, answered: Mapping[Series, Answered], now: float) -> None:
        """More answers of the generation that is current."""
        if now - self._minute_began >= MINUTE:
            self.cut(now)
        for series, more in answered.items():
            self._minute[series] = self._minute.get(series, NOTHING) + more

    def cut(self, now: float) -> None:
        """The minute is over; or a new generation begins to serve beside this one, and from now on both can
        be compared."""
        if self._minute:
            kinds = self._hour(now)
            for series, minute in self._minute.items():
                _remember(kinds, series, minute)
        self._minute, self._minute_began = {}, now

    def succeed(self, answered: Mapping[Series, Answered], now: float) -> None:
        """A new generation has taken over; so it has answered until now."""
        self.cut(now)
        self._begin_hour(now)
        self._minute = dict(answered)

    def reference(self, series: Series) -> Reference:
        """What is known of a kind."""
        together, minutes = NOTHING, list[Answered]()
        for _, kinds in reversed(self._hours):
            hour = kinds.get(series)
            if hour is not None:
                together += hour.together
                minutes += hour.worst
            if together.answers >= ENOUGH:
                break
        second = sorted(minutes, key=lambda each: badness(each, together), reverse=True)[1:_WORST]
        beside = self._minute.get(series)
        return Reference(together, tuple(second if beside is None else [*second, beside]))

    def _hour(self, now: float) -> dict[Series, KindsHour]:
        if not self._hours or now - self._hours[-1][0] >= HOUR:
            self._begin_hour(now)
        return self._hours[-1][1]

    def _begin_hour(self, now: float) -> None:
        kept = [hour for hour in self._hours if hour[1] and now - hour[0] <= HOURS * HOUR]
        self._hours = [*kept[1 - 2 * HOURS :], (now, {})]


def _remember(kinds: dict[Series, KindsHour], series: Series, minute: Answered) -> None:
    if series not in kinds and len(kinds) >= _KINDS:
        series = Series(series.method, OTHER)
    kind = kinds.setdefault(series, KindsHour(series))
    kind.together += minute
    if minute.failed:
        worst = [*kind.worst, minute]
        kind.worst = sorted(worst, key=lambda each: badness(each, kind.together), reverse=True)[:_WORST]
