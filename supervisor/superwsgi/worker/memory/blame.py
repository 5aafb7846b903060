"""Which kinds of requests make the worker grow, and by how much a request: from looks that the watch has
taken at its memory. Pure: looks in, growth out.

How: between two looks memory has grown by so much, and so many requests of each kind have run. What was
given back later does not count: of each level only the lowest that still follows is taken, which leaves out
temporary buffers and what the garbage collector frees in lumps. The rest is explained by least squares with
a figure for each kind that is not negative, and without the few steps that fit nothing (a 50 MB response,
modules that are imported late).

A kind *grows* the worker if leaving it out explains much less (EVIDENCE), if it ran REQUESTS times, and if
the last third of these shows nearly as much as the first half (STEADY): so a cache is
acquitted as soon as it fills more slowly, and that of keys at random long before it is full.

Whether it *leaks* nobody can know: a cache that misses on each of its first so many requests does the same
until then. So that is only said of a kind which has left more than caches, pools and warm-ups do (FILL): 200
requests with 1 MB each, 2,000 with 100 KB. Caches of a few hundred entries, as frameworks limit them, or of
1,000 with 100 KB, have stopped by then. One that holds more in each worker, and misses all the way, is taken
for a leak until it stops. What grows the worker, but has not come so far, is named only as the reason why it
has reached its limit while it still grew: there it does not matter which of the two it is.

What it cannot tell besides: two kinds that always run together; a leak of one in thousands of requests from
chance; a leak that no request causes, or that takes minutes for each 4 MB (watch.py does not count then). Of
all these it names nobody. And it is told what the C library and Python have handed out, if these figures grow
with the resident memory: else a leak that fills gaps would be blamed on whoever has to grow because of it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Final

from superwsgi import unpatched

MOST: Final = 512
"""Looks that are kept; of the older half two or more are made one, and so on."""

_THINNED: Final = MOST * 7 // 8
"""Of them at most, so that it is worth it."""

REQUESTS: Final = 60
CONFIRMING: Final = 30
"""Requests of it that have to go on after the collector has run."""

EVIDENCE: Final = 60.0
"""How many times the squared error that is to be expected goes with the kind. Among twenty innocent kinds the
highest was 40, in some hundred runs of Flask; a leak of 100 KB has over 500 after as many requests."""

EVIDENCE_OF_RESIDENT: Final = 250.0
"""The same where only the resident memory is known to grow."""

_IN_USE: Final = 0.2
"""What allocators have handed out is gone by if it grows by this part of the resident memory at least; else
that itself, which is coarser."""

_MUCH: Final = 256 << 10
"""Bytes that a kind has while it is in hand, from which looks taken at such moments are left out."""

_ENOUGH: Final = 8
"""If fewer than one look in so many is left, all count."""

STEADY: Final = 0.8
GOES_ON: Final = 0.7
"""The same of CONFIRMING requests, which are fewer and tell less."""

LEAST: Final = 8 << 20
"""Bytes that it must have grown by in all: below, figures of the kernel and of allocators are too coarse."""

FILL: Final = 192 << 20
"""Bytes that a kind must have left in the worker to be called a leak."""

_OUTSIDE: Final = 5.0
"""Steps that are so many times the usual error away from what explains the others are left out."""

_USUAL: Final = 0.97
"""The part of the steps, those that fit best, from which the usual error is taken."""

_TURNS: Final = 4
"""How often steps are left out, and the others explained anew."""

_ROUNDS: Final = 200
"""Of the solver, at most."""

_ROWS: Final = 32
"""Rows after which other threads may have the GIL."""

_TIME: Final = ""
"""Stands for what makes it grow without any request; a part of the growth that time explains is nobody's."""

_SHORT: Final = 24
"""Requests in an interval, at most, that has its whole weight: the most from one look to the next."""

_NEAR: Final = 1e-3
"""The solver is done when nothing moves by more than this part of the largest value."""

_GRAIN: Final = 4096.0
"""Bytes: a page, below which no figure of the kernel's is exact."""


@dataclass(frozen=True, slots=True)
class Reading:
    """At a moment, in monotonic ns: bytes that are `resident`, and that are `used` of what allocators have
    handed out; how many requests of each kind have `ended` since the look before, and are `in_hand`.
    `joined`: all requests since then were counted."""

    at: int
    resident: int
    used: int
    ended: Mapping[str, int]
    in_hand: Mapping[str, int]
    joined: bool


@dataclass(frozen=True, slots=True)
class Growth:
    """The `kind` of requests that makes it grow by `each` bytes; seen in `requests` of them, since the
    monotonic ns `since`."""

    kind: str
    each: float
    requests: int
    since: int

    @property
    def is_no_fill(self) -> bool:
        """Whether that is more than a cache that fills would explain."""
        return self.each * self.requests >= FILL


@dataclass(frozen=True, slots=True)
class _Interval:
    """From one look to the next: what has stayed of its growth, and how much of each kind ran. What is not
    explained of a long one adds up, so it weighs less."""

    growth: float
    ran: dict[str, float]
    weight: float = 1.0


def growing(looks: Sequence[Reading]) -> list[Growth]:
    """Who makes it grow, whoever does so most first; nobody where that is not clear."""
    if not any(count >= REQUESTS for count in _ended(looks).values()):
        return []
    steps, evidence = _steps(looks)
    if sum(step.growth for step in steps) < LEAST:
        return []
    ran = _total(steps)
    fit = _fit(steps, [kind for kind, count in ran.items() if count > 0])
    found = [
        Growth(kind, each, int(ran[kind]), looks[0].at)
        for kind, each in fit.each.items()
        if kind != _TIME
        and ran[kind] >= REQUESTS
        and each * ran[kind] >= LEAST
        and fit.evidence(kind) >= evidence
    ]
    steady = [one for one in found if _is_steady(steps, one.kind)]
    return sorted(steady, key=lambda one: -one.each * one.requests)


def goes_on(looks: Sequence[Reading], growth: Growth) -> bool | None:
    """Whether that is still so in later looks; None while these are too few."""
    if _ended(looks)[growth.kind] < CONFIRMING:
        return None
    steps, _ = _steps(looks)
    ran = _total(steps)
    if ran.get(growth.kind, 0.0) <= 0:
        return None
    return _fit(steps, list(ran)).each[growth.kind] >= GOES_ON * growth.each


def thinned(looks: Sequence[Reading]) -> list[Reading]:
    """The same with less of what is long ago: the older half of its intervals become half as many, of about
    the same number of requests each. If that is not enough, as too much ran uncounted, the oldest are left
    out."""
    half = len(looks) // 2
    enough = 2 * sum(map(_requests, looks[:half])) / max(1, half)
    older: list[Reading] = []
    for look in looks[:half]:
        if older and older[-1].joined and look.joined and _requests(older[-1]) < enough:
            older[-1] = _merged(older[-1], look)
        else:
            older.append(look)
    return [*older, *looks[half:]][-_THINNED:]


def _requests(look: Reading) -> int:
    return sum(look.ended.values())


def with_names(look: Reading, kept: Set[str], other: str) -> Reading:
    """A look that tells only these kinds apart, and calls all further ones `other`."""
    return replace(look, ended=renamed(look.ended, kept, other), in_hand=renamed(look.in_hand, kept, other))


def renamed(counts: Mapping[str, int], kept: Set[str], other: str) -> dict[str, int]:
    """The same of counts by kind."""
    found: dict[str, int] = {}
    for kind, count in counts.items():
        name = kind if kind in kept else other
        found[name] = found.get(name, 0) + count
    return found


def _merged(before: Reading, look: Reading) -> Reading:
    """A look with what had ended by the one before it."""
    ended = dict(before.ended)
    for kind, count in look.ended.items():
        ended[kind] = ended.get(kind, 0) + count
    return replace(look, ended=ended, joined=before.joined and look.joined)


def _ended(looks: Iterable[Reading]) -> Counter[str]:
    ended: Counter[str] = Counter()
    for look in looks:
        if look.joined:
            ended.update(look.ended)
    return ended


# What has grown.


def _steps(looks: Sequence[Reading]) -> tuple[list[_Interval], float]:
    """What has stayed from look to look, and how much evidence is asked for. What is used tells more than
    what is resident, unless that grows alone. Half of each request that is in hand has run, on average."""
    pairs = _pairs(_quiet(looks))
    ran = [_ran(before, after) for before, after in pairs]
    used = _stayed([after.used - before.used for before, after in pairs])
    resident = _stayed([after.resident - before.resident for before, after in pairs])
    in_use = sum(used) >= _IN_USE * sum(resident)
    weights = [_weight(after) for _, after in pairs]
    steps = [_Interval(*each) for each in zip(used if in_use else resident, ran, weights, strict=True)]
    return steps, EVIDENCE if in_use else EVIDENCE_OF_RESIDENT


def _weight(look: Reading) -> float:
    """Of the interval that it ends."""
    return min(1.0, _SHORT / max(1, _requests(look)))


def _quiet(looks: Sequence[Reading]) -> list[Reading]:
    """Without those while a request is in hand whose kind has much just for as long, if enough are left."""
    steps = [
        _Interval(float(after.used - before.used), _difference(before.in_hand, after.in_hand))
        for before, after in _pairs(looks)
    ]
    fit = _fit(steps, list(_total(steps)))
    loud = {kind for kind, held in fit.each.items() if held >= _MUCH and fit.evidence(kind) >= EVIDENCE / 2}
    if not loud:
        return list(looks)
    quiet: list[Reading] = []
    passed: Reading | None = None
    for look in looks:
        look = look if passed is None else _merged(passed, look)
        passed = None if loud.isdisjoint(look.in_hand) else look
        if passed is None:
            quiet.append(look)
    return quiet if len(quiet) >= len(looks) / _ENOUGH else list(looks)


def _pairs(looks: Sequence[Reading]) -> list[tuple[Reading, Reading]]:
    return [(before, after) for before, after in itertools.pairwise(looks) if after.joined]


def _difference(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, float]:
    return {kind: float(after.get(kind, 0) - before.get(kind, 0)) for kind in {**before, **after}}


def _stayed(growth: Sequence[float]) -> list[float]:
    """Of each growth what no later fall takes back."""
    stayed, owed = [], 0.0
    for grown in reversed(growth):
        owed += grown
        stayed.append(max(0.0, owed))
        owed = min(0.0, owed)
    return stayed[::-1]


def _ran(before: Reading, after: Reading) -> dict[str, float]:
    ran = {kind: float(count) for kind, count in after.ended.items()}
    for look, part in ((after, 0.5), (before, -0.5)):
        for kind, count in look.in_hand.items():
            ran[kind] = ran.get(kind, 0.0) + part * count
    ran[_TIME] = (after.at - before.at) / 1e6
    return ran


def _total(steps: Iterable[_Interval]) -> dict[str, float]:
    total: dict[str, float] = {}
    for step in steps:
        for kind, count in step.ran.items():
            total[kind] = total.get(kind, 0.0) + count
    return total


def _is_steady(steps: Sequence[_Interval], kind: str) -> bool:
    """Whether the last third of its requests shows nearly as much as the first half."""
    passed = list(itertools.accumulate(step.ran.get(kind, 0.0) for step in steps))
    early = [step for step, count in zip(steps, passed, strict=True) if count <= passed[-1] / 2]
    late = [step for step, count in zip(steps, passed, strict=True) if count > passed[-1] * 2 / 3]
    return _each(late, kind) >= STEADY * _each(early, kind)


def _each(steps: Sequence[_Interval], kind: str) -> float:
    """What these show of it."""
    ran = [kind, *(other for other, count in _total(steps).items() if count > 0 and other != kind)]
    return _fit(steps, ran).each[kind]


# Least squares.


class _Sums:
    """The normal equations of steps: of each two kinds the sum of products, of each kind that with growth."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = list(kinds)
        self.places = {kind: at for at, kind in enumerate(kinds)}
        self.count = 0
        self.squared = 0.0
        self.with_growth = [0.0] * len(kinds)
        self.products = [[0.0] * len(kinds) for _ in kinds]

    def add(self, step: _Interval, sign: int = 1) -> None:
        weight = sign * step.weight
        self.count += sign
        self.squared += weight * step.growth * step.growth
        row = [(self.places[kind], count) for kind, count in step.ran.items() if kind in self.places]
        for at, count in row:
            self.with_growth[at] += weight * count * step.growth
            products = self.products[at]
            for other, more in row:
                products[other] += weight * count * more

    def solve(self, start: Sequence[float], without: int = -1) -> list[float]:
        """The figures with the least error among those that are not negative, by coordinate descent."""
        solved = list(start)
        if without >= 0:
            solved[without] = 0.0
        for _ in range(_ROUNDS):
            moved = 0.0
            for at, products in enumerate(self.products):
                own = products[at]
                if own <= 0 or at == without:
                    continue
                slope = self.with_growth[at] - sum(map(float.__mul__, products, solved))
                value = max(0.0, solved[at] + slope / own)
                moved = max(moved, abs(value - solved[at]))
                solved[at] = value
            if moved <= _NEAR * max(solved, default=0.0):
                break
        return solved

    def error(self, solved: Sequence[float]) -> float:
        """The sum of squared errors."""
        explained = sum(map(float.__mul__, self.with_growth, solved))
        both = sum(
            value * sum(map(float.__mul__, row, solved))
            for value, row in zip(solved, self.products, strict=True)
        )
        return max(self.squared - 2 * explained + both, 0.0)


class _Fit:
    """What explains the growth: `each` kind by so many bytes a request."""

    def __init__(self, sums: _Sums, solved: Sequence[float]) -> None:
        self.each = dict(zip(sums.kinds, solved, strict=True))
        self._sums = sums
        self._solved = solved

    def evidence(self, kind: str) -> float:
        """How much less is explained without a kind, in squared errors of a step."""
        sums = self._sums
        free = sums.count - sum(value > 0 for value in self._solved)
        if free <= 0:
            return 0.0
        error = sums.error(self._solved) / free + _GRAIN * _GRAIN
        without = sums.solve(self._solved, sums.places[kind])
        return (sums.error(without) - sums.error(self._solved)) / error


def _fit(steps: Sequence[_Interval], kinds: Sequence[str]) -> _Fit:
    """Least squares, without the steps that are far outside of them."""
    sums, left_out = _Sums(kinds), [False] * len(steps)
    for at, step in enumerate(steps):
        sums.add(step)
        if not at % _ROWS:
            unpatched.sleep(0)
    solved = sums.solve([0.0] * len(kinds))
    for _ in range(_TURNS):
        off = [abs(step.growth - _explained(step, sums.places, solved)) * step.weight**0.5 for step in steps]
        usual = sorted(off)[: max(1, int(len(off) * _USUAL))]
        bound = _OUTSIDE * (sum(each * each for each in usual) / len(usual)) ** 0.5 + _GRAIN
        changed = [at for at, each in enumerate(off) if (each > bound) != left_out[at]]
        if not changed:
            break
        for at in changed:
            sums.add(steps[at], 1 if left_out[at] else -1)
            left_out[at] = not left_out[at]
        solved = sums.solve(solved)
    return _Fit(sums, solved)


def _explained(step: _Interval, places: Mapping[str, int], solved: Sequence[float]) -> float:
    return sum(count * solved[places[kind]] for kind, count in step.ran.items() if kind in places)
