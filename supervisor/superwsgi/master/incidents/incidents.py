"""The incidents of a site: the last few hundred, each with a number that its line in the error log has, too.
What happens again within a minute is counted, not repeated. Only the master has them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from superwsgi.incidents import NAMED, Incident, RequestInHand
from superwsgi.log.spelling import duration
from superwsgi.master.incidents import wording

KEPT: Final = 300

AGAIN: Final = 60.0
"""Seconds after its last time in which the same incident is the same one."""

EVENTS: Final = 100
"""How many kinds of incidents are counted by themselves: our own code has half as many."""

OTHER: Final = "other"

LONGEST: Final = 32 << 10
"""Characters of a detail that are kept."""

ENDS: Final = 10.0
"""Seconds that a process which the kernel has killed may take to end."""


class Incidents:
    """`add` is what the master's ErrorLog reports to, also from the thread that writes its log."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # while something is added, or all are looked at
        self._kept: dict[int, Incident] = {}  # by number, the oldest first
        self._numbers: dict[wording.Key, int] = {}  # of those that may happen again
        self._newest = 0
        self.events: Counter[str] = Counter()  # how often each has happened, whether it is still kept or not
        self._kills: int | None = None  # for want of memory, at the last look
        self._unclaimed = 0  # of them, those whose process is not known yet
        self._last_kill = 0.0  # when they were seen, monotonic seconds
        self._missing: dict[Hashable, dict[int, float]] = {}  # since when, by who it is and by incident

    def add(
        self, level: str, who: Mapping[str, object], event: str, fields: Mapping[str, object], detail: str
    ) -> int:
        """Note that something has gone wrong; returns the incident's number."""
        now = time.time()
        with self._lock:
            new = wording.incident(self._newest + 1, level, who, event, fields, detail[-LONGEST:], now)
            self._count(new)
            key = wording.key(new)
            same = self._kept.get(self._numbers.get(key, 0))
            if same is not None and now - same.last < AGAIN:
                self._kept[same.number] = _again(same, new)
                return same.number
            self._keep(new)
            self._numbers[key] = new.number
            return new.number

    def _count(self, new: Incident) -> None:
        """A worker can make up events: those beyond the first EVENTS count together, except for our own."""
        known = new.event in self.events or new.event in wording.OURS or len(self.events) < EVENTS
        self.events[new.event if known else OTHER] += new.times

    def _keep(self, new: Incident) -> None:
        self._newest = new.number
        self._kept[new.number] = new
        if len(self._kept) > KEPT:
            del self._kept[self._least_needed()]
            self._numbers = {key: number for key, number in self._numbers.items() if number in self._kept}

    def _least_needed(self) -> int:
        """The oldest one of whoever has most: a worker with many does not displace what others have had."""
        owners = Counter(one.worker for one in self._kept.values())
        (most, _), *_ = owners.most_common(1)
        return next(number for number, one in self._kept.items() if one.worker == most)

    def refused(self, who: Mapping[str, object], status: int, count: int) -> None:
        """A worker has refused so many requests more; the scoreboard knows that better than its words."""
        self.add("debug", who, wording.REFUSED, {"status": status, "times": count}, "")

    def note_kills(self, kills: int) -> None:
        """So many processes the kernel has killed for want of memory so far."""
        if self._kills is not None and kills > self._kills:
            self._unclaimed += kills - self._kills
            self._last_kill = time.monotonic()
        self._kills = kills

    def claim_kill(self, kills: int) -> bool:
        """A process has ended by SIGKILL: whether it is one of them. It may have been seen before it had
        ended, since a process takes a while to give back its memory."""
        self.note_kills(kills)
        if not self._unclaimed or time.monotonic() - self._last_kill > ENDS:
            self._unclaimed = 0
            return False
        self._unclaimed -= 1
        return True

    # What becomes of one: of None, or of one that is no longer kept, nothing.

    def lost(self, number: int | None, requests: Sequence[RequestInHand], consequence: str) -> None:
        """The process that it is about has ended, with these requests in hand."""
        self._change(
            number,
            lambda one: replace(one, requests=_together(one.requests, requests), consequence=consequence),
        )

    def explain(self, number: int | None, detail: str) -> None:
        """Stacks or the like have arrived for it."""
        self._change(
            number,
            lambda one: replace(one, detail=f"{one.detail}\n{detail}".strip("\n")[-LONGEST:]),
        )

    def ends(self, number: int | None, then: str) -> None:
        """What it was about is over."""
        self._change(number, lambda one: replace(one, then=then))

    def _change(self, number: int | None, anew: Callable[[Incident], Incident]) -> None:
        with self._lock:
            one = self._kept.get(number or 0)
            if one is not None:
                self._kept[one.number] = anew(one)

    def misses(self, who: Hashable, number: int | None) -> None:
        """Because of this incident a worker, by its number, or a mold is missing, or will be; its replacement
        ends that."""
        if number is not None:
            self._missing.setdefault(who, {}).setdefault(number, time.monotonic())

    def serves(self, who: Hashable) -> None:
        """A worker serves, or a mold can: it may be the replacement of one that was missing."""
        for number, since in self._missing.pop(who, {}).items():
            self.ends(number, f"replaced, served again after {duration(time.monotonic() - since)}")

    def why_missing(self) -> str:
        """Of all because of which a worker or mold is missing now, what the last one was, in words. Without a
        mold no worker can come, whatever has ended the last one: a worker is known by its number."""
        molds = [missing for who, missing in self._missing.items() if not isinstance(who, int)]
        numbers = {number for missing in molds or self._missing.values() for number in missing}
        with self._lock:
            found = [one for number in numbers if (one := self._kept.get(number)) is not None]
        last = max(found, key=lambda one: one.last, default=None)
        return "" if last is None else f"{last.event}: {last.cause}"

    # Who asks.

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, word: str | None, most: int) -> list[Incident]:
        """The last ones that concern `word`, or all; the newest first."""
        with self._lock:
            found = [one for one in self._kept.values() if word is None or one.concerns(word)]
        return sorted(found, key=lambda one: one.last, reverse=True)[:most]

    def hold(self) -> list[Incident]:
        """For the next program of this process."""
        with self._lock:
            return list(self._kept.values())

    def adopt(self, held: Iterable[Incident], events: Mapping[str, int]) -> None:
        """Go on with those of an earlier program, and with what it has counted."""
        self.events.update(events)
        for one in held:
            self._keep(one)


def _again(one: Incident, new: Incident) -> Incident:
    return replace(
        one,
        times=one.times + new.times,
        last=new.last,
        cause=new.cause or one.cause,
        then=new.then or one.then,
        requests=_together(one.requests, new.requests),
        memory=new.memory or one.memory,
        detail=new.detail or one.detail,
    )


def _together(before: Sequence[RequestInHand], now: Sequence[RequestInHand]) -> tuple[RequestInHand, ...]:
    """Each request once, as it was seen last."""
    others = [each for each in before if each not in now and not any(new.is_called(each.id) for new in now)]
    return (*others, *now)[-NAMED:]
