"""What a profile says of itself, in words: how far to believe it, and of which workers it is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from superwsgi.control import Profile
from superwsgi.log.spelling import duration
from superwsgi.profiles.summing import sampled
from superwsgi.samples import Sampled

_LATE: Final = 0.1
"""Seconds from which a late sample is worth a word."""

_ENOUGH: Final = 0.8
"""The share of samples below which it is worth a word that others were left out."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How far to believe it: of `due` samples `taken` were; `late` on average, `latest` at worst, seconds.
    `share` of a CPU was taken by sampling, in the worker where that was most."""

    due: int
    taken: int
    late: float
    latest: float
    share: float

    @classmethod
    def of(cls, parts: Sequence[Sampled]) -> Accuracy:
        taken = sum(each.taken for each in parts)
        return cls(
            sum(each.due for each in parts),
            taken,
            sum(each.late * each.taken for each in parts) / max(1, taken),
            max((each.latest for each in parts), default=0.0),
            max((each.spent / each.seconds for each in parts if each.seconds), default=0.0),
        )


def notes(profile: Profile) -> Iterator[str]:
    """All that is to be known of it."""
    yield from _accuracy(Accuracy.of(sampled(profile)))
    yield from workers_not_told(profile)


def workers_not_told(profile: Profile) -> Iterator[str]:
    """A line for each worker of which something is to be known."""
    for each in profile.workers:
        if each.note:
            lost = "not in it" if each.sampled is None else f"in it for {each.sampled.seconds:.1f}s only"
            pid = f" (pid {each.pid})" if each.pid is not None else ""
            yield f"worker {each.number}{pid} is {lost}: {each.note}"


def _accuracy(found: Accuracy) -> Iterator[str]:
    if not found.taken:
        return
    late = f"{duration(found.late)} late on average, {duration(found.latest)} at worst"
    yield f"{found.taken} of {found.due} samples, {late}; {found.share:.1%} of a CPU"
    if found.latest >= _LATE:
        yield (
            "late samples: C code held the interpreter meanwhile; that time is given to where each thread "
            "was found then"
        )
    if found.taken < _ENOUGH * found.due:
        yield (
            "samples left out: the last one came late, or more would have cost too much; each of the others "
            "counts for more time"
        )
