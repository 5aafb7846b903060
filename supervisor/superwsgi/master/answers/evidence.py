"""Which kinds clearly fail more often than before, from counts alone: no clock, no process.

A kind is a method and a group of paths; each is compared with itself: that other kinds are asked for than
before proves nothing. Of a kind the question is whether its share of failures is above a `bound`: what it
may have been before, and what the site tolerates beyond that (rollout.max_errors).

**Before.** The highest share at which as few failures as were counted would still be no surprise, by
Chernoff's bound for a binomial share [1]: with little counted that is high, so a kind of which little is
known is hard to prove anything against. Errors come in bursts, so the second worst minute counts as well,
and what the old generation has answered beside the new one: if a database dies during a roll-out, both show
it. A kind without a past has no such share; it must fail in more than every second answer.

**Now.** The likelihood ratio of what is counted, with a larger share against the bound, averaged over
SHARES of such shares. Where the kind is no worse than the bound, the average is a supermartingale that
begins at 1, so the chance that it *ever* reaches 1/c is at most c, however often one looks (Ville's
inequality [2]): no correction for looks is needed, and none for when to stop. The same product over all
kinds finds what each of them shows too little of.

**In sum.** CHANCE is divided among the kinds and their sum (Bonferroni), and between the two halves above:
a good release goes back with at most that chance, if failures come independently. They do not quite: one
client repeats what fails, caches are cold. So failures prove nothing unless there are FEWEST, in LOOKS
different looks, which are seconds. What a database does that dies after the roll-out, when no old worker is
left to show it, or a client who asks on purpose for what always failed, and nobody had asked for, cannot be
told from the release's own doing: the release goes back, which harms nobody.

Most good answers may be known from a sample only, in which each stands for several: then fewer are seen
than there were, and the odds of a failure among what is seen are higher by that factor. Both halves reckon
with it.

[1] W. Hoeffding, "Probability Inequalities for Sums of Bounded Random Variables", JASA 58 (1963), theorem 1.
[2] J. Ville, "Étude critique de la notion de collectif" (1939), as used for tests in A. Wald, "Sequential
    Tests of Statistical Hypotheses", Ann. Math. Statist. 16 (1945), and H. Robbins, ibid. 41 (1970).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, inf, log
from typing import Final, Generic, TypeVar

CHANCE: Final = 5e-4
"""That a release goes back although its kinds fail no more often than before."""

FEWEST: Final = 5
LOOKS: Final = 3

UNKNOWN: Final = 0.5
"""The share of failures that a kind without a past is given."""

SHARES: Final = 7
"""All beyond the bound, half of it, a quarter and so on."""

_WEIGHT: Final = 10
"""A minute's share counts as if so many answers had come beside it, at the kind's usual share: one failure is
no bad minute."""

_STEPS: Final = 40  # of halving an interval: beyond the precision of anything else here

Name = TypeVar("Name")


@dataclass(frozen=True, slots=True)
class Answered:
    """How a kind was answered: how many `failed`, of which each is counted, and how many were `good`. Where
    these are a sample, each adds what it stands for to `good`, and the square of that to `squares`."""

    failed: int = 0
    good: int = 0
    squares: int = 0

    def __add__(self, other: Answered) -> Answered:
        return Answered(self.failed + other.failed, self.good + other.good, self.squares + other.squares)

    @property
    def answers(self) -> int:
        return self.failed + self.good

    @property
    def share(self) -> float:
        """Of failures."""
        return self.failed / self.answers if self.answers else 0.0

    @property
    def each(self) -> float:
        """Good answers for which one stands that was seen."""
        return max(1.0, self.squares / self.good) if self.good else 1.0

    @property
    def seen(self) -> float:
        """Good answers that were seen, as far as they stand for equally many."""
        return self.good / self.each


NOTHING: Final = Answered()


@dataclass(frozen=True, slots=True)
class Reference:
    """What is known of a kind's past: all `together`, and `times` of which each share may come again."""

    together: Answered = NOTHING
    times: tuple[Answered, ...] = ()


@dataclass(frozen=True, slots=True)
class Compared(Generic[Name]):
    """One kind: what the new generation has answered, in which looks there were failures, and its past."""

    name: Name
    now: Answered
    looks: frozenset[int]
    before: Reference


def worse(kinds: Sequence[Compared[Name]], tolerated: float) -> list[Compared[Name]]:
    """Kinds that clearly fail in a larger share of answers than before and `tolerated`, 0 to 1, the worst one
    first; where only all of them together do, those that add most to it."""
    if not _is_enough(kinds):
        return []
    surprise = log(2 * (len(kinds) + 1) / CHANCE)
    unknown = max(UNKNOWN, _together(kinds).share)
    bounds = [min(_before(kind.before, surprise, unknown) + tolerated, 1.0) for kind in kinds]
    ratios = [_ratios(kind.now, bound) for kind, bound in zip(kinds, bounds, strict=True)]
    beyond = [kind.now.failed - bound * kind.now.answers for kind, bound in zip(kinds, bounds, strict=True)]
    order = sorted(range(len(kinds)), key=lambda at: -beyond[at])
    clear = [at for at in order if _is_enough([kinds[at]]) and _average(ratios[at]) >= surprise]
    if not clear and _average([sum(column) for column in zip(*ratios, strict=True)]) >= surprise:
        clear = [at for at in order if beyond[at] > 0]
    return [kinds[at] for at in clear]


def may_be_worse(kind: Compared[Name]) -> bool:
    """Whether it has failed so much more often than before that it is to be told, though it proves nothing:
    by chance in one of a hundred cases at most, by the same bound."""
    before = kind.before.together
    usual = (before.failed + 0.5) / (before.answers + 1)
    surprise = kind.now.answers * _divergence(kind.now.share, usual)
    return kind.now.share > usual and surprise > log(100)


def badness(time: Answered, together: Answered) -> float:
    """The share of failures in a short time, drawn towards that of all `together` if few answers fell in
    it."""
    return (time.failed + _WEIGHT * together.share) / (time.answers + _WEIGHT)


def _is_enough(kinds: Sequence[Compared[Name]]) -> bool:
    looks = frozenset[int]().union(*(kind.looks for kind in kinds))
    return sum(kind.now.failed for kind in kinds) >= FEWEST and len(looks) >= LOOKS


def _together(kinds: Sequence[Compared[Name]]) -> Answered:
    return sum((kind.before.together for kind in kinds), NOTHING)


@lru_cache(1024)
def _before(before: Reference, surprise: float, unknown: float) -> float:
    """The share of failures that the past allows for."""
    together = before.together
    if not together.answers:
        return unknown
    times = [badness(time, together) for time in before.times]
    return max([_highest(together, surprise), *times])


def _highest(answered: Answered, surprise: float) -> float:
    """The highest share that is no more surprising than this (in nats)."""
    count = answered.failed + answered.seen
    share = low = answered.failed / count
    high = 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if count * _divergence(share, middle) <= surprise:
            low = middle
        else:
            high = middle
    return 1.0 if low >= 1 else _of_odds(low / (1 - low) / answered.each)


def _divergence(share: float, other: float) -> float:
    """Kullback and Leibler's, of two binomial shares."""
    if other >= 1:
        return 0.0 if share >= 1 else inf
    failed = share * log(share / other) if share else 0.0
    return failed + ((1 - share) * log((1 - share) / (1 - other)) if share < 1 else 0.0)


def _ratios(now: Answered, bound: float) -> list[float]:
    """The logarithms of how much likelier it is with each of the larger shares."""
    if bound >= 1 or not now.answers:
        return [0.0] * SHARES
    shares = [bound + (1 - bound) / 2**step for step in range(SHARES)]
    return [_likelihood(now, share) - _likelihood(now, bound) for share in shares]


def _likelihood(now: Answered, share: float) -> float:
    """The logarithm of how likely this is, but for what all shares have in common."""
    if share >= 1:
        return -inf if now.good else 0.0
    seen = _of_odds(share / (1 - share) * now.each)
    return (now.failed * log(seen) if now.failed else 0.0) + now.seen * log(1 - seen)


def _of_odds(odds: float) -> float:
    return odds / (1 + odds)


def _average(ratios: Sequence[float]) -> float:
    """The logarithm of the average, from logarithms."""
    most = max(ratios)
    return most + log(sum(exp(each - most) for each in ratios) / len(ratios))
