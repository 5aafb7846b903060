"""How the memory of a worker has been, and when it will reach its limit. Pure: others measure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

KEPT: Final = 64
"""Figures that are kept: while it has no more, each; then each other one, and so on."""

_LEAST: Final = 8
"""Figures without which nothing is foretold."""

_FORECAST: Final = 7 * 24 * 3600.0
"""Seconds: who forecasts further claims to know too much."""

_ALIKE: Final = 0.5
"""The slower half grows by at least this share of the faster one: what fills and stops does not, nor what the
garbage collector has not come to yet."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Bytes that a process has at a moment, in monotonic seconds; `pss` and `private` (what it would give
    back at its end) only where these were measured."""

    at: float
    rss: int
    pss: int | None = None
    private: int | None = None


@dataclass(slots=True)
class MemorySeries:
    """Of one worker: at first a figure a second, fewer as it gets older, so that they always span its
    life."""

    kept: list[Figures] = field(default_factory=list)
    gap: float = 1.0  # seconds between two of them
    last: Figures | None = None  # kept or not

    def add(self, new: Figures) -> None:
        self.last = new
        if self.kept and new.at - self.kept[-1].at < self.gap:
            return
        self.kept.append(new)
        if len(self.kept) > KEPT:
            self.kept = self.kept[::2]
            self.gap *= 2

    def rate(self) -> float | None:
        """Bytes a second by which it grows steadily, all its life or for half of it; else None."""
        return _steady(self.kept) or _steady(self.kept[len(self.kept) // 2 :])

    def reaches(self, used: int, limit: int | None) -> float | None:
        """Seconds until it has so many bytes, if it goes on like this; None if nobody can tell."""
        rate = self.rate()
        if limit is None or rate is None or used >= limit:
            return None
        seconds = (limit - used) / rate
        return seconds if seconds <= _FORECAST else None


def _steady(figures: list[Figures]) -> float | None:
    """Bytes a second of the newer half, if the older one is much like it."""
    lowest = _lowest(figures)
    if len(lowest) < _LEAST:
        return None
    first, middle, last = lowest[0], lowest[len(lowest) // 2], lowest[-1]
    early = (middle.rss - first.rss) / (middle.at - first.at)
    late = (last.rss - middle.rss) / (last.at - middle.at)
    return late if min(early, late) > _ALIKE * max(early, late) else None


def _lowest(figures: list[Figures]) -> list[Figures]:
    """Each with the lowest that still follows."""
    lowest: deque[Figures] = deque()
    least = None
    for each in reversed(figures):
        least = each.rss if least is None else min(least, each.rss)
        lowest.appendleft(Figures(each.at, least))
    return list(lowest)
