"""The application's own metrics, from the files of all its processes, as prometheus_client adds them up,
except that gauges are those of workers that live, by the Snapshot's word: a process id may be somebody else's
by now.

What cannot be read is counted, and nothing of it is a reason not to answer: numbers that once were read never
go back because a file is being folded at this moment.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec
from prometheus_client import Metric
from prometheus_client.utils import floatToGoString

from superwsgi.metrics.files import FOLDED, Number, Numbers, NumbersFile
from superwsgi.metrics.folding import add, combine, combined, opened, view

_PATIENCE: Final = 1.0
"""Seconds; folding takes milliseconds."""

_LABELLED: Final = ("gauge_all", "gauge_liveall")
"""Each process has its own, by a label."""

_LIKE: Final = {
    "gauge_livesum": "gauge_sum",
    "gauge_livemin": "gauge_min",
    "gauge_livemax": "gauge_max",
    "gauge_livemostrecent": "gauge_mostrecent",
}
_ENDED_TOO: Final = (
    *("counter", "histogram", "summary"),
    *("gauge_sum", "gauge_min", "gauge_max", "gauge_mostrecent"),
)
"""Kinds in which those count that are gone."""

_ENDINGS: Final = ("", "_total", "_created", "_bucket", "_sum", "_count")
"""Of a series' name, after that of its family."""

_NOT_PLAIN: Final = re.compile("^[0-9]|[^a-zA-Z0-9_:]")

_SERIES: Final = 1 << 16
"""Keys that are remembered as what they mean."""

_Labels = tuple[tuple[str, str], ...]


class _Part(NamedTuple):
    """Numbers that go together: of processes that are gone or live, of a kind, of one `pid` if that is told
    apart. Those of the living come first: theirs is what kind of metric a name stands for."""

    gone: bool
    kind: str
    pid: str


class _Named(NamedTuple):
    family: str
    name: str
    labels: _Labels
    help: str


@dataclass(frozen=True, slots=True)
class Collected:
    """Families, and how many files (`unreadable`), series (`malformed`; `kind`: their family is of another
    kind) and families (`name`: another one has it, too) are not among them."""

    families: list[Metric] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)


def plain(name: str) -> str:
    """As who scrapes gets it, unless he takes any UTF-8: two names can become one."""
    return _NOT_PLAIN.sub("_", name)


class AppMetrics:
    """Those in `folder`, which has one folder for each user that the site's processes run or ran as."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._last: dict[str, tuple[dict[_Part, Numbers], int]] = {}

    def collect(self, living: Set[int]) -> Collected:
        """What there is now; `living` are the process ids of workers."""
        parts: list[tuple[_Part, Numbers]] = []
        unreadable = 0
        for folder in self._folders():
            numbers, failed = self._read(folder, living)
            parts += numbers.items()
            unreadable += failed
        families, malformed, kind = _families(sorted(parts, key=lambda part: part[0]))
        distinct = list(_distinct(families))
        left_out = {"unreadable": unreadable, "malformed": malformed, "kind": kind}
        return Collected(distinct, {**left_out, "name": len(families) - len(distinct)})

    def _folders(self) -> list[str]:
        try:
            with os.scandir(self._folder) as entries:
                return sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
        except OSError:
            return []

    def _read(self, folder: str, living: Set[int]) -> tuple[dict[_Part, Numbers], int]:
        """The numbers, and how many files have none; the last ones while the folder cannot be read."""
        try:
            self._last[folder] = _read(folder, living)
        except OSError:
            numbers, failed = self._last.get(folder, ({}, 0))
            return numbers, failed + 1
        return self._last[folder]


def _read(folder: str, living: Set[int]) -> tuple[dict[_Part, Numbers], int]:
    """Raises OSError."""
    parts: defaultdict[_Part, Numbers] = defaultdict(dict)
    unreadable = 0
    with opened(folder) as fd:
        for file, numbers in view(fd, _PATIENCE):
            lives = file.pid in living or (file.pid is None and file.owner != FOLDED)
            if numbers is None:
                unreadable += 1
            elif lives or file.kind in _ENDED_TOO:
                part = _part(file, lives=lives)
                combine(part.kind, parts[part], numbers)
    return parts, unreadable


def _part(file: NumbersFile, *, lives: bool) -> _Part:
    return _Part(not lives, _LIKE.get(file.kind, file.kind), file.owner if file.kind in _LABELLED else "")


# From numbers to families.


class _Family:
    """All series of a name, as they are added up."""

    def __init__(self, kind: str, series: _Named) -> None:
        self.kind = kind.partition("_")[0]
        self.metric = Metric(series.family, series.help, self.kind)
        self._samples: dict[tuple[str, _Labels], Number] = {}

    def add(self, kind: str, series: _Named, number: Number) -> None:
        at = (series.name, series.labels)
        before = self._samples.get(at)
        self._samples[at] = number if before is None else combined(kind, before, number)

    def finished(self) -> Metric:
        samples = _cumulated(self._samples) if self.kind == "histogram" else self._samples
        for (name, labels), number in samples.items():
            self.metric.add_sample(name, dict(labels), number.value)
        return self.metric


def _families(parts: Iterable[tuple[_Part, Numbers]]) -> tuple[list[Metric], int, int]:
    """Also how many series are malformed, and how many of another kind than their family."""
    families: dict[str, _Family] = {}
    malformed = other_kind = 0
    for part, numbers in parts:
        for key, number in numbers.items():
            try:
                series = _series(key, part.pid)
                family = families.get(series.family) or _Family(part.kind, series)
            except ValueError:
                malformed += 1
                continue
            families[series.family] = family
            if family.kind == part.kind.partition("_")[0]:
                family.add(part.kind, series, number)
            else:
                other_kind += 1
    return [families[name].finished() for name in sorted(families)], malformed, other_kind


@lru_cache(_SERIES)
def _series(key: str, pid: str) -> _Named:
    """Raises ValueError."""
    family, name, labels, help_text = msgspec.json.decode(key, type=tuple[str, str, dict[str, str], str])
    if name.removeprefix(family) not in _ENDINGS or not all(map(_can_be_named, (family, *labels))):
        raise ValueError(f"{name} is no name of a series of {family}")
    if len({*map(plain, labels)}) < len(labels) or any(plain(each).startswith("__") for each in labels):
        raise ValueError(f"{name} has two labels of one name, or one that is Prometheus' own")
    if name.endswith("_bucket"):
        float(labels.get("le", "inf"))
    if pid:
        labels["pid"] = pid
    return _Named(family, name, tuple(sorted(labels.items())), help_text)


def _can_be_named(name: str) -> bool:
    """What prometheus_client can spell in an answer, one way or another."""
    return name != "" and name.isprintable()


def _distinct(families: Iterable[Metric]) -> Iterator[Metric]:
    """Those that share no name with one before, as `shop_total` and the counter `shop` would: of an answer
    with one name twice nothing may be taken."""
    taken: set[str] = set()
    for family in families:
        names = {plain(name) for name in {family.name, *(sample.name for sample in family.samples)}}
        if names.isdisjoint(taken):
            taken |= names
            yield family


def _cumulated(samples: dict[tuple[str, _Labels], Number]) -> dict[tuple[str, _Labels], Number]:
    """A file has for each bucket of a histogram what fell into it and no other, and no count of all."""
    whole = {at: number for at, number in samples.items() if _bound(*at) is None}
    buckets: defaultdict[tuple[str, _Labels], list[tuple[float, Number]]] = defaultdict(list)
    for (name, labels), number in samples.items():
        bound = _bound(name, labels)
        if bound is not None:
            buckets[name, tuple(pair for pair in labels if pair[0] != "le")].append((bound, number))
    for (name, labels), of_one in buckets.items():
        seen = Number(0.0, 0.0)
        for bound, number in sorted(of_one):
            seen = add(seen, number)
            whole[name, (*labels, ("le", spelled(bound)))] = seen
        whole[f"{name.removesuffix('_bucket')}_count", labels] = seen
    return whole


def spelled(bound: float) -> str:
    """A bound of a histogram, as prometheus_client spells it in `le`."""
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]


def _bound(series: str, labels: _Labels) -> float | None:
    """None for what is no bucket: elsewhere `le` is a label like any other."""
    found = (float(value) for name, value in labels if name == "le")
    return next(found, None) if series.endswith("_bucket") else None
