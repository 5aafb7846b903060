"""What workers have in hand at ordinary moments, by the master's looks at their boards. Pure; times are
monotonic seconds.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

KEPT: Final = 4096
"""Looks that are remembered: some minutes of them."""

SHORT: Final = 5.0
LONG: Final = 60.0
"""Seconds before a moment that it is compared with. The short time knows of a burst that the long one hardly
sees, the long one of what the short one has seen too little of: the higher share of the two counts."""

_FEW: Final = 20
"""If there are fewer looks in the short time, those in as long a time afterwards count, too: the site may
have just started."""

_LATE: Final = 5.0
"""Seconds after which no look is added any more."""

_KINDS: Final = 128
"""How many kinds have a share of their own, those with the largest ones; all others have the smallest."""


@dataclass(frozen=True, slots=True)
class BoardLook:
    """One look at one worker."""

    at: float
    kinds: frozenset[str]


@dataclass(frozen=True, slots=True)
class Shares:
    """At which share of looks a worker had a kind in hand: as far as they are known, and for all others."""

    known: dict[str, float]
    others: float

    def of(self, kind: str) -> float:
        return self.known.get(kind, self.others)


class Looks:
    """The last ones. Each counts the same, and they are taken at all workers in turn: so each worker does."""

    def __init__(self) -> None:
        self._looks: deque[BoardLook] = deque(maxlen=KEPT)

    def add(self, looks: Iterable[BoardLook]) -> None:
        """More of them, almost in the order in which they were taken."""
        self._looks.extend(looks)

    def lately(self, now: float) -> list[BoardLook]:
        """Those that a crash at this moment, or in the last SHORT seconds, is judged by."""
        return [look for look in self._looks if look.at >= now - SHORT - LONG]

    def shares(self, moment: float) -> Shares:
        """Those of all kinds about a moment.

        By the rule of succession (Laplace): seen in h of n looks, a kind will be in hand at the next one with
        a chance of (h + 1) / (n + 2). Without any look that is one half: who knows nothing accuses nobody.
        """
        each = [_counted(looks) for looks in self._about(moment, moment)]
        kinds = {kind for shares in each for kind in shares.known}
        most = {kind: max(shares.of(kind) for shares in each) for kind in kinds}
        largest = sorted(most, key=lambda kind: -most[kind])
        smallest = max(shares.others for shares in each)
        others = max([smallest, *(most[kind] for kind in largest[_KINDS:])])
        return Shares({kind: most[kind] for kind in largest[:_KINDS]}, others)

    def share(self, kind: str, began: float, ended: float) -> float:
        """That of one kind about the time in which a request of it ran, which does not count itself."""
        return max(
            (sum(kind in look.kinds for look in looks) + 1) / (len(looks) + 2)
            for looks in self._about(began, ended)
        )

    def _about(self, began: float, ended: float) -> Iterator[list[BoardLook]]:
        """The looks of the short and of the long time."""
        before = self._between(began - LONG, began)
        short = [look for look in before if look.at >= began - SHORT]
        yield short if len(short) >= _FEW else [*short, *self._between(ended, ended + SHORT)]
        yield before if len(before) >= _FEW else [*before, *self._between(ended, ended + SHORT)]

    def _between(self, since: float, until: float) -> list[BoardLook]:
        found = []
        for look in reversed(self._looks):
            if look.at < since - _LATE:
                break
            if since <= look.at < until:
                found.append(look)
        return found


def _counted(looks: Sequence[BoardLook]) -> Shares:
    seen = Counter(kind for look in looks for kind in look.kinds)
    return Shares({kind: (hits + 1) / (len(looks) + 2) for kind, hits in seen.items()}, 1 / (len(looks) + 2))
