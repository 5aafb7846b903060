"""What is remembered of crashes, and decided from them: who is a suspect, and for how long its requests are
not run. Pure; times are monotonic seconds.

A quarantine ends by itself after a cooling time. If its kind then has ended one more worker, within an hour
or twice the time that it was kept out, it comes into quarantine again, for twice as long.

To end workers takes a request that does so, and nobody but whoever knows one can cause crashes; what is asked
for beside it is no evidence (chance.py), unless it is a rare page that is in hand each time. So a quarantine
has to prove itself: if crashes go on, with something in hand that was in hand beside that kind before, it was
not the one. Then it is let in again, and not believed to be a suspect for an hour. And there are at most MOST
kinds in quarantine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from superwsgi.master.suspects.chance import NAMED, Crash, Finding, find
from superwsgi.master.suspects.looks import SHORT, Looks

WHILE: Final = 600.0
"""Seconds for which a crash counts."""

MOST_CRASHES: Final = 64
MOST: Final = 8
LONGEST: Final = 3600.0
"""Seconds that a quarantine becomes no longer by being doubled, and for which a kind is known afterwards."""

UNLIKELY: Final = 0.2
"""A kind that was kept out, and is let in again, is in hand in the next crash by chance as often at most."""

CLOSE: Final = 0.25
"""Seconds between two looks while more crashes are to be expected."""

_SETTLES: Final = 2.0
"""Seconds after its beginning in which requests that had begun before a quarantine may still end workers."""

_CLEARED: Final = "workers go on crashing without it"


@dataclass(slots=True)
class Suspect:
    """A kind that was named. `beside` it others were in hand in all crashes it was named for; `incidents` are
    its numbers; `since` and `until` are those of its last quarantine."""

    kind: str
    beside: list[str]
    crashes: int
    of: int
    share: float
    seen: float  # its last crash
    incidents: list[int] = field(default_factory=list)
    quarantined: bool = False
    since: float = 0.0
    until: float = 0.0
    times: int = 0  # that it was in quarantine
    cleared: float | None = None  # when it turned out not to be the one

    def update(self, crashes: list[Crash]) -> None:
        """By the crashes that count now."""
        own = [crash for crash in crashes if self.kind in crash.requests]
        if own:
            self.crashes, self.of, self.seen = len(own), len(crashes), own[-1].at

    def known_until(self) -> float:
        if self.cleared is not None:
            return self.cleared + LONGEST
        again = self.until + max(LONGEST, 2 * (self.until - self.since)) if self.times else 0.0
        return max(self.seen + WHILE, again)


@dataclass(frozen=True, slots=True)
class Change:
    """What has become of a suspect: named, in quarantine for so many `seconds`, let in again because of
    `reason`, or forgotten. `finding` is why it was named."""

    what: Literal["named", "quarantined", "over", "forgotten"]
    suspect: Suspect
    finding: Finding | None = None
    seconds: float = 0.0
    reason: str = ""


class KnownCrashes:
    """Of one site. `exempt` says which kinds are never put into quarantine."""

    def __init__(self, exempt: Callable[[str], bool] = lambda kind: False) -> None:
        self.crashes: list[Crash] = []
        self.suspects: dict[str, Suspect] = {}
        self._exempt = exempt
        self._news = True  # there are crashes that were not judged yet

    def quarantine(self) -> dict[str, float]:
        """The kinds in quarantine, and until when."""
        return {each.kind: each.until for each in self.suspects.values() if each.quarantined}

    def note(self, crash: Crash) -> None:
        self.crashes = [*self.crashes[1 - MOST_CRASHES :], crash]
        self._news = True

    def learn(self, looks: Looks, now: float) -> None:
        """There are more looks, also about the time of the last crashes."""
        lately = [crash for crash in self.crashes if crash.at > now - SHORT - CLOSE]
        if lately:
            judged = [crash.judged_by(looks) for crash in lately]
            self.crashes = [*self.crashes[: -len(lately)], *judged]
            self._news = True

    def decide(self, generation: int, cooling: float, now: float) -> list[Change]:
        """What follows now, for the site that serves by this `generation`; `cooling` is for how many seconds
        a suspect is kept out at first, 0: not at all."""
        self.crashes = [crash for crash in self.crashes if crash.at > now - WHILE]
        own = [crash for crash in self.crashes if crash.generation == generation]
        changes = self._named(own) if self._news else []
        self._news = False
        changes += self._over(own, now)
        if cooling:
            changes += self._quarantined(own, cooling, now)
        return changes

    def carry(self, generation: int) -> None:
        """What was known goes on, for another `generation`."""
        self.crashes = [replace(crash, generation=generation) for crash in self.crashes]

    def lift(self, reason: str) -> list[Change]:
        """Nobody is a suspect any more."""
        changes = [Change("over", each, reason=reason) for each in self.suspects.values() if each.quarantined]
        changes += [Change("forgotten", each) for each in self.suspects.values() if each.cleared is None]
        self.suspects = {}
        return changes

    def _over(self, crashes: Iterable[Crash], now: float) -> list[Change]:
        changes = []
        for suspect in list(self.suspects.values()):
            without = self._without(suspect, crashes) if suspect.quarantined else 0
            if without >= NAMED:
                suspect.cleared, suspect.until = now, now
            if suspect.quarantined and now >= suspect.until:
                suspect.quarantined = False
                changes.append(Change("over", suspect, reason=_CLEARED if without >= NAMED else ""))
            elif not suspect.quarantined and now >= suspect.known_until():
                del self.suspects[suspect.kind]
                changes.append(Change("forgotten", suspect))
        return changes

    def _without(self, suspect: Suspect, crashes: Iterable[Crash]) -> int:
        """Crashes since its quarantine began that no known suspect has to do with, and another kind may."""
        known, later = self.suspects.keys(), suspect.since + _SETTLES
        others = [each for each in crashes if each.at > later and known.isdisjoint(each.requests)]
        return max((sum(kind in each.requests for each in others) for kind in suspect.beside), default=0)

    def _named(self, crashes: list[Crash]) -> list[Change]:
        """Those who are known explain the crashes that they are in hand in, and others the rest."""
        suspected = [each for each in self.suspects.values() if each.cleared is None]
        for suspect in suspected:
            suspect.update(crashes)
        known = {each.kind for each in suspected}
        changes = []
        for found in find([crash for crash in crashes if known.isdisjoint(crash.requests)]):
            if found.kind not in self.suspects and len(self.suspects) < 4 * MOST:
                self.suspects[found.kind] = _suspect(found)
                changes.append(Change("named", self.suspects[found.kind], found))
        return changes

    def _quarantined(self, crashes: list[Crash], cooling: float, now: float) -> list[Change]:
        changes = []
        for suspect in self.suspects.values():
            if suspect.quarantined or suspect.cleared is not None or self._exempt(suspect.kind):
                continue
            if (suspect.times and not self._again(suspect, crashes)) or len(self.quarantine()) >= MOST:
                continue
            seconds = max(cooling, min(cooling * 2**suspect.times, LONGEST))
            suspect.quarantined, suspect.since, suspect.until = True, now, now + seconds
            suspect.times += 1
            changes.append(Change("quarantined", suspect, seconds=seconds))
        return changes

    def _again(self, suspect: Suspect, crashes: Iterable[Crash]) -> bool:
        """Whether it has ended a worker since it was let in again."""
        later = [crash for crash in crashes if crash.at > suspect.until and suspect.kind in crash.requests]
        return any(crash.chances.of(suspect.kind) <= UNLIKELY for crash in later)


def _suspect(found: Finding) -> Suspect:
    always = set.intersection(*(set(crash.requests) for crash in found.crashes)) - {found.kind}
    last = found.crashes[-1].at
    return Suspect(found.kind, sorted(always), len(found.crashes), found.of, found.share, last)
