"""Whether a kind of request ends workers, or is only in hand whenever one ends. Pure.

A worker runs many requests at once, and all of them are lost with it: in a crash there are the one that has
caused it, and its neighbours. To be in hand at that moment proves nothing about a page that always is. So for
each crash and each kind there is a chance that it would have been in hand anyway: its share of the looks that
were taken at all workers shortly before (looks.py). A request that has run for a while before it ended its
worker was seen by looks itself; so for its kind the looks before it began count.

The null hypothesis is that a kind has nothing to do with the crashes. Then it is in hand in each of n crashes
independently, with the chance of that crash, and the number of crashes that it is in hand in follows a
Poisson binomial distribution (a binomial one where all chances are equal). A kind is a suspect if

- it was in hand in NAMED crashes at least, each of another process;
- the tail of that distribution, the chance of as many crashes or more, is at most BOUND; it is multiplied by
  the number of kinds that were in hand in any of the crashes, since all of them are tested (Bonferroni);
- its share of the crashes is FAR times its share of looks, or more: so what is in hand at a fifth of all
  moments is never named, however many crashes there are;
- no other kind was in hand in the same crashes that could as well be the one: whose tail is not CLEARLY
  larger. Two pages that are always asked for together cannot be told apart, and none of them is named.

A crash has one culprit. So the least likely kind is found first, and what it has been in hand in explains
nothing about others: these are judged by the crashes that are left. That also clears quick pages that are in
hand more often while a culprit slows its worker down.

What it cannot tell: which of the requests that a client always has in hand together ends the worker, if no
look ever sees one without the other; that a request does so which is popular, and ends a worker only now and
then; nor which one runs for seconds before it does, if it is asked for again at once, and so is in hand most
of the time; and those that were answered 504 are not in hand any more. And whoever can end workers at will,
by a popular page with certain parameters, can have a rare page in hand each time, and accuse that: crashes.py
has what happens then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from superwsgi.incidents import RequestInHand
from superwsgi.master.suspects.looks import Looks, Shares

NAMED: Final = 3
BOUND: Final = 0.005
FAR: Final = 5.0
CLEARLY: Final = 10.0

_TESTED: Final = 64
"""Kinds whose chances are computed: those that were in hand most often."""


@dataclass(frozen=True, slots=True)
class Crash:
    """A worker of a `generation` that a request may have ended: when (monotonic seconds), what it had in hand
    by kind, and the chances that a kind would have been in hand in any case."""

    at: float
    generation: int
    requests: dict[str, RequestInHand]
    chances: Shares

    def judged_by(self, looks: Looks) -> Crash:
        """With the chances by what is known now."""
        chances = looks.shares(self.at)
        for kind, request in self.requests.items():
            began = self.at - (request.seconds or 0.0)
            chances.known[kind] = looks.share(kind, began, self.at)
        return replace(self, chances=chances)


@dataclass(frozen=True, slots=True)
class Finding:
    """A kind in hand in `crashes` of `of`, and at `share` of the moments before them; `chance` of that."""

    kind: str
    crashes: tuple[Crash, ...]
    of: int
    share: float
    chance: float

    @property
    def requests(self) -> tuple[RequestInHand, ...]:
        return tuple(crash.requests[self.kind] for crash in self.crashes)


def find(crashes: Sequence[Crash]) -> list[Finding]:
    """All suspects, the least likely coincidence first."""
    found: list[Finding] = []
    left = list(crashes)
    while (best := _best(left)) is not None:
        found.append(best)
        left = [crash for crash in left if best.kind not in crash.requests]
    return found


def tail(chances: Sequence[float], least: int) -> float:
    """The chance that at least so many of independent events happen, each with its own chance."""
    distribution = [1.0]  # of how many have happened
    for chance in chances:
        stay = [each * (1 - chance) for each in distribution] + [0.0]
        come = [0.0] + [each * chance for each in distribution]
        distribution = [a + b for a, b in zip(stay, come, strict=True)]
    return sum(distribution[least:])


def _best(crashes: Sequence[Crash]) -> Finding | None:
    times = Counter(kind for crash in crashes for kind in crash.requests)
    often = [kind for kind, count in times.most_common(_TESTED) if count >= NAMED]
    tested = sorted((_finding(kind, crashes) for kind in often), key=_chance)
    if not tested:
        return None
    best, *others = tested
    certain = best.chance * len(times) <= BOUND and len(best.crashes) >= FAR * best.share * best.of
    return best if certain and not any(_is_rival(other, best) for other in others) else None


def _finding(kind: str, crashes: Sequence[Crash]) -> Finding:
    chances = [crash.chances.of(kind) for crash in crashes]
    own = tuple(crash for crash in crashes if kind in crash.requests)
    return Finding(kind, own, len(crashes), sum(chances) / len(chances), tail(chances, len(own)))


def _chance(finding: Finding) -> float:
    return finding.chance


def _is_rival(other: Finding, best: Finding) -> bool:
    together = all(other.kind in crash.requests for crash in best.crashes)
    return together and other.chance < CLEARLY * best.chance
