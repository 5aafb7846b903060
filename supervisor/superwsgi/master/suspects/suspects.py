"""The site's suspects: looks at what workers have in hand, learns of their deaths, has workers refuse kinds
of requests, and says so. What is to follow is decided in crashes.py.
"""

from __future__ import annotations

from typing import Final

from superwsgi.board.counts import WorkerCounters
from superwsgi.http.request.path_groups import served_group
from superwsgi.incidents import Listed, RequestInHand
from superwsgi.log.spelling import duration, share
from superwsgi.master.context import MasterContext
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.generations import Generations
from superwsgi.master.handover import HeldSuspects
from superwsgi.master.processes.handles import WorkerHandle
from superwsgi.master.states import WorkerState
from superwsgi.master.suspects import kinds
from superwsgi.master.suspects.chance import Crash
from superwsgi.master.suspects.crashes import CLOSE, WHILE, Change, KnownCrashes, Suspect
from superwsgi.master.suspects.looks import BoardLook, Looks, Shares
from superwsgi.snapshot import SuspectStatus

LOOK: Final = 1.0
"""Seconds between two looks, usually."""

_BEGINNING: Final = 60.0
"""Seconds at first in which looks are close: nothing is known of what is usual yet."""

_WORKERS: Final = 8
_THREADS: Final = 512
"""At most so many workers are looked at each time, all of them in turn; fewer if they have more threads."""


_SILENT: Final = 2.0
"""Without a sign of life for so long it hangs: one with something in hand gives one every second."""

_UNSURE: Final = 16
"""Looks at a worker that are kept until it shows that it has lived on."""


class Suspects:
    """`generations` are told what is in quarantine, and tell their workers."""

    def __init__(self, context: MasterContext, generations: Generations) -> None:
        self._loop = context.loop
        self._errors = context.errors
        self._incidents = context.incidents
        self._generations = generations
        self._looks = Looks()
        self._known = KnownCrashes(self._is_exempt)
        self._serves: int | None = None  # the generation that crashes are judged of
        self._carried: int | None = None  # one that takes over what is known of the one before it
        self._close_until = 0.0
        self._turn = 0
        self._unsure: dict[int, list[BoardLook]] = {}  # by worker: looks at it since its last sign of life

    def begin(self, now: float) -> None:
        """Look at the workers from now on."""
        self._close_until = max(self._close_until, now + _BEGINNING)
        self._look(now)

    def adopt(self, held: HeldSuspects, serves: int, next_one: int) -> None:
        """Go on with what an earlier program of this process knew of the generation that `serves`; the
        `next_one` runs the same application."""
        self._serves, self._carried = serves, next_one
        self._known.crashes = list(held.crashes)
        self._known.suspects = {suspect.kind: suspect for suspect in held.suspects}
        self._looks.add(held.looks)
        self._generations.quarantine = self._known.quarantine()

    def hold(self, now: float) -> HeldSuspects:
        return HeldSuspects(self._known.crashes, list(self._known.suspects.values()), self._looks.lately(now))

    def status(self, now: float) -> list[SuspectStatus]:
        return [
            SuspectStatus(
                kind=each.kind,
                crashes=each.crashes,
                of=each.of,
                share=each.share,
                quarantine=max(0.0, each.until - now) if each.quarantined else None,
            )
            for each in self._known.suspects.values()
            if each.cleared is None
        ]

    def quarantine(self, now: float) -> tuple[tuple[str, float], ...]:
        """The kinds in quarantine, and for how many more seconds."""
        return tuple((kind, max(0.0, until - now)) for kind, until in self._known.quarantine().items())

    # What is noted.

    def crashed(
        self, generation: Generation, worker: WorkerHandle, counters: WorkerCounters, now: float
    ) -> None:
        """A worker has ended, perhaps by a request that it had in hand."""
        self._close_until = now + WHILE
        self._unsure.pop(worker.key, None)
        self._believe_all()
        requests = {
            kind: RequestInHand(each.method, each.path, each.id, max(0.0, now - each.started), each.thread)
            for kind, each in kinds.in_hand(counters.in_hand).items()
        }
        self._known.note(Crash(now, generation.number, requests, Shares({}, 1.0)).judged_by(self._looks))

    def _look(self, now: float) -> None:
        self._loop.call_at(now + self._pause(now), self._look)
        serving = [
            (generation, worker)
            for generation, worker in self._generations.workers()
            if worker.state is WorkerState.SERVING and worker.stopped_at is None
        ]
        most = max((generation.site.most_threads for generation, _ in serving), default=1)
        for _ in range(min(len(serving), _WORKERS, max(1, _THREADS // most))):
            self._turn = (self._turn + 1) % len(serving)
            self._look_at(*serving[self._turn], now)
        self._known.learn(self._looks, now)

    def _look_at(self, generation: Generation, worker: WorkerHandle, now: float) -> None:
        """A look at one with something in hand counts once it has lived on: what hangs has that in hand, and
        what was there when it began to, for as long as nobody ends it."""
        beat, _ = generation.board.pulse(worker.slot)
        unsure = self._unsure.pop(worker.key, [])
        self._looks.add(look for look in unsure if look.at < beat)
        left = [look for look in unsure if look.at >= beat][:_UNSURE]
        seen = BoardLook(now, frozenset(kinds.in_hand(generation.board.in_hand(worker.slot))))
        if not seen.kinds:
            self._looks.add([seen])
        elif now - beat < _SILENT:
            left.append(seen)
        if left:
            self._unsure[worker.key] = left

    def _believe_all(self) -> None:
        """A crash is to be judged by what is seen elsewhere, up to that moment."""
        for key in list(self._unsure):
            self._looks.add(self._unsure.pop(key))

    def _pause(self, now: float) -> float:
        current = self._generations.current
        small = current is None or current.site.most_threads <= _THREADS
        return CLOSE if now < self._close_until and small else LOOK

    # What follows.

    def update(self, now: float) -> None:
        """After every turn of the loop: do what is due."""
        current = self._generations.current
        if current is None:
            return
        changes: list[Change] = []
        if current.number != self._serves:
            changes += self._taken_over(current.number)
        changes += self._known.decide(current.number, current.site.quarantine, now)
        for change in changes:
            self._tell(change, current.site.quarantine)
        quarantine = self._known.quarantine()
        if quarantine != self._generations.quarantine:
            self._generations.put_in_quarantine(quarantine, now)

    def _taken_over(self, number: int) -> list[Change]:
        """Another generation serves: what the one before it did proves nothing, unless both are the same."""
        before, self._serves = self._serves, number
        if number == self._carried:
            self._known.carry(number)
            return []
        return [] if before is None else self._known.lift(f"generation {number} has taken over")

    def _is_exempt(self, kind: str) -> bool:
        current = self._generations.current
        health = None if current is None else current.site.health
        paths = [] if health is None else [path for path in (health.live, health.ready) if path is not None]
        return kind.partition(" ")[2] in [served_group(path.encode("latin-1", "replace")) for path in paths]

    # What is said.

    def _tell(self, change: Change, cooling: float) -> None:
        suspect = change.suspect
        if change.what == "named":
            self._say_named(change, cooling)
        elif change.what == "quarantined":
            self._say_quarantined(suspect, change.seconds)
        elif change.what == "over":
            reason = {"reason": change.reason} if change.reason else {}
            kept = duration(suspect.until - suspect.since)
            self._errors.info("quarantine over", kind=suspect.kind, **reason, next="its requests run again")
            self._incidents.ends(
                suspect.incidents[-1], f"over after {kept}: {change.reason or 'it has passed'}"
            )
        else:
            then = "no suspect any more: it has ended no worker for a while, or another generation serves"
            self._incidents.ends(suspect.incidents[0], then)

    def _say_named(self, change: Change, cooling: float) -> None:
        suspect = change.suspect
        requests = change.finding.requests if change.finding is not None else ()
        then = "put into quarantine" if cooling else "; ".join(_ADVICE)
        if self._is_exempt(suspect.kind):
            then = f"{_ADVICE[0]}; a health path is never put into quarantine"
        number = self._errors.warning(
            "suspect", "", kind=suspect.kind, reason=spell(suspect), in_hand=Listed(requests), next=then
        )
        suspect.incidents.append(number or 0)

    def _say_quarantined(self, suspect: Suspect, seconds: float) -> None:
        again = f", as it has ended another worker: for the {suspect.times}. time" * (suspect.times > 1)
        number = self._errors.warning(
            "quarantined",
            "",
            kind=suspect.kind,
            reason=f"{spell(suspect)}{again}",
            next=f"answered 503 for {duration(seconds)} instead of ending workers; a reload ends that, too",
        )
        suspect.incidents.append(number or 0)


_ADVICE: Final = (
    "look at what these requests have in common",
    "with `quarantine: on` they would be answered 503 for a while",
)


def spell(suspect: Suspect) -> str:
    """`in hand in 3 of 3 crashes within ten minutes, and at 0.4 % of other moments at most`."""
    crashes = f"in hand in {suspect.crashes} of {suspect.of} crashes within ten minutes"
    return f"{crashes}, and at {share(suspect.share)} of other moments at most"
