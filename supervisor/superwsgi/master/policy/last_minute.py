"""What has been counted lately: rates, answers, refusals and latencies of the last minute. Pure: totals.py
has the samples.

A sample every EVERY seconds is enough: the period that is looked at ends now, and begins with the sample that
is about a minute old. Soon after the start there is none, and the period begins with the first one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from superwsgi.board.counts import Counts

MINUTE: Final = 60.0
EVERY: Final = 5.0
"""Seconds between two samples."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the site had counted at `when`, monotonic seconds."""

    when: float
    counts: Counts


@dataclass(frozen=True, slots=True)
class LastMinute:
    """What was counted in the last `seconds`."""

    seconds: float
    counts: Counts

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.counts.requests / self.seconds if self.seconds > 0 else 0.0


def due(samples: Sequence[Sample], now: float) -> bool:
    """Whether it is time for another sample."""
    return not samples or now - samples[-1].when >= EVERY


def keep(samples: Sequence[Sample], now: float) -> list[Sample]:
    """Those that are needed from now on: the last one that is a minute old, and what came after it."""
    old = sum(now - sample.when >= MINUTE for sample in samples)
    return list(samples[max(old - 1, 0) :])


def since(samples: Sequence[Sample], now: Sample) -> LastMinute:
    """What was counted since about a minute ago, or since the first sample."""
    kept = keep(samples, now.when)
    if not kept:
        return LastMinute(0.0, Counts())
    return LastMinute(now.when - kept[0].when, now.counts - kept[0].counts)
