"""What operators learn of the past: starts and reloads, each with a number, how they ended, and why the last
one failed; and how workers died, in the log and, for each worker's number, the last time.
"""

from __future__ import annotations

import signal
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from superwsgi.board.counts import InFlight, WorkerCounters
from superwsgi.control import Ended, Outcome
from superwsgi.incidents import Listed, MemorySample, RequestInHand
from superwsgi.log.error import ErrorLog
from superwsgi.log.rate_limit import Repeats
from superwsgi.log.spelling import duration, ending
from superwsgi.master.incidents.incidents import Incidents
from superwsgi.master.policy.death import Crashes, Verdict, crash_loop
from superwsgi.master.processes import dumped
from superwsgi.master.processes.handles import WorkerHandle
from superwsgi.master.processes.program import ExitCode
from superwsgi.snapshot import RECYCLED

_OUT_OF_MEMORY: Final = "memory ran out, and the kernel killed it"
_EXITS: Final = {
    0: "somebody has sent it SIGTERM or SIGQUIT, or the application has called os._exit",
    1: "the application has called os._exit, unless a line above says that the worker failed",
}
_BY_THE_APPLICATION: Final = "the application has called os._exit"
"""What only os._exit does: sys.exit in a request is an error of that request."""
_REMEMBERED: Final = 16

_GAVE_UP: Final = "the interpreter gave up; why stands on stderr"
"""Py_FatalError() writes there, and keeps faulthandler from writing as well."""


@dataclass(slots=True)
class Attempt:
    """One start or reload; `generation` is None until there is one, `ended` is None while it goes on."""

    number: int
    began: float
    start: bool = False
    generation: int | None = None
    ended: Ended | None = None


@dataclass(frozen=True, slots=True)
class Death:
    """A worker that ended at `now` (monotonic seconds), and what it had in hand; `code` is None if it never
    was a process. `crashes` are those of its generation, with this one."""

    worker: WorkerHandle
    code: ExitCode | None
    counters: WorkerCounters
    crashes: Crashes
    now: float
    memory_ran_out: bool = False  # the kernel has killed a process for want of memory

    @property
    def how(self) -> str:
        return "never started" if self.code is None else ending(self.code)

    @property
    def cause(self) -> str:
        """How it ended and, if that is known, why."""
        if self.code == 0 and self.worker.recycle is not None:
            return f"{RECYCLED}{self.worker.recycle}"
        why = self.worker.failure or self.worker.asked_to_go or self._by_whom()
        return f"{self.how}: {why}" if why else self.how

    def tell(self, log: ErrorLog, incidents: Incidents, verdict: Verdict, repeats: Repeats) -> None:
        """Log it, unless that would only repeat what was told. One that ends a roll-out is reported when that
        is given up."""
        self.worker.lost = unanswered(self.counters)
        if verdict is Verdict.EXPECTED:
            self._tell_expected(log, incidents)
        elif verdict is Verdict.REPLACE:
            self._tell_death(log, incidents, dict(self._consequence()), repeats)
        elif self._lost():
            self._tell_death(log, incidents, {"next": "its generation is given up"}, repeats)

    def _tell_death(
        self, log: ErrorLog, incidents: Incidents, consequence: dict[str, str], repeats: Repeats
    ) -> None:
        level, more = "error", dict[str, int]()
        if crash_loop(self.crashes.early) and not self._lost():
            key = self.worker.generation, self.worker.number, self.cause
            level, more = repeats.told(level, key, int(self.now * 1e9))
        said = {**dict(self._facts()), **more, **consequence}
        number = log.incident(level, "died", self.worker.detail, **said)
        self.worker.goes_because_of(number)
        incidents.misses(self.worker.number, number)
        incidents.explain(number, self.worker.dump)

    def _tell_expected(self, log: ErrorLog, incidents: Incidents) -> None:
        facts = {"reason": self.worker.asked_to_go or "its generation is ending", **dict(self._facts())}
        number, lost = self.worker.incident, self._lost()
        if number is not None:
            incidents.lost(number, self._in_hand(), f"{lost or 'no request'} lost")
            log.notice("ended", "", level="warning" if lost else "info", **facts, incident=number)
        elif lost:
            log.warning("ended", "", **facts)
        else:
            log.info("ended", "", **facts)

    def _facts(self) -> Iterator[tuple[str, object]]:
        yield "how", self.how
        if self.worker.dump:
            yield "what", dumped.what(self.worker.dump)
        yield "requests", self.counters.requests
        reason = self.worker.failure or self._by_whom()
        if reason:
            yield "reason", reason
        yield from self._unanswered()
        if self.worker.memory and self.worker.asked_to_go is None:
            yield "memory", Listed(MemorySample(self.now - when, used) for when, used in self.worker.memory)

    def _by_whom(self) -> str:
        """Who has ended it, if that was not the master, as far as its exit code or signal says so."""
        if self.code is None or self.worker.asked_to_go is not None:
            return ""
        if self.code == -signal.SIGKILL:
            return _OUT_OF_MEMORY if self.memory_ran_out else "not by the master"
        if self.code == -signal.SIGABRT and not self.worker.dump:
            return _GAVE_UP
        return _EXITS.get(self.code, _BY_THE_APPLICATION) if self.code >= 0 else ""

    def _unanswered(self) -> Iterator[tuple[str, object]]:
        """What it had not answered, or had not counted yet: those in the application with their ids, and how
        many others."""
        counters = self.counters
        if counters.in_flight:
            yield "in_application", len(counters.in_flight)
        for name in ("upgraded", "queued", "gated", "taken", "sending"):
            count = getattr(counters, name)
            if count:
                yield name, count
        if counters.in_hand:
            yield "in_hand", self._in_hand()
        if self._lost():
            yield "lost", self._lost()

    def _in_hand(self) -> Listed:
        return in_hand(self.counters.in_hand, self.now)

    def _lost(self) -> str:
        """`2 requests`."""
        count = self.worker.lost
        return f"{count} request{'s' * (count > 1)}" if count else ""

    def _consequence(self) -> Iterator[tuple[str, str]]:
        wait = self.crashes.fork_at - self.now
        yield "next", f"replaced in {duration(wait)}" if wait > 0 else "replaced at once"
        if crash_loop(self.crashes.early):
            yield "state", "crash-loop"


def unanswered(counters: WorkerCounters) -> int:
    """How many requests: of those that were `taken` together, one may be in the application."""
    waiting = counters.queued + counters.gated
    return len(counters.in_flight) + max(0, counters.taken - 1) + waiting + counters.sending


def in_hand(requests: Iterable[InFlight], now: float) -> Listed:
    """Those that threads had in hand at `now`, the oldest first."""
    return Listed(
        RequestInHand(each.method, each.path, each.id, max(0.0, now - each.started), each.thread)
        for each in sorted(requests, key=lambda each: each.started)
    )


class Record:
    """One site's record. `deaths` are the last ones by worker number: when (monotonic seconds), how, and the
    number of the incident, or 0; `newest` is the number of the last attempt, the only one that can still be
    going on; `reloads` is how many had which outcome, without the start."""

    def __init__(self) -> None:
        self.trouble = ""  # why the last start or reload failed; empty once one has succeeded
        self.deaths: dict[int, tuple[float, str, int]] = {}
        self.newest = 0
        self.reloads: Counter[Outcome] = Counter()
        self._attempts: deque[Attempt] = deque(maxlen=_REMEMBERED)

    @property
    def next(self) -> int:
        """The number of the next attempt."""
        return self.newest + 1

    def find(self, number: int) -> Attempt | None:
        """None for an attempt that is still to come, or long over."""
        return next((attempt for attempt in self._attempts if attempt.number == number), None)

    def begin(self, now: float, *, start: bool = False) -> int:
        """Begin a new attempt, a reload or the start; returns its number."""
        self.newest += 1
        self._attempts.append(Attempt(self.newest, now, start))
        return self.newest

    def generation(self, number: int) -> None:
        """The newest attempt has a generation now."""
        if self._attempts:
            self._attempts[-1].generation = number

    def complete(self, now: float) -> None:
        """The newest attempt has succeeded."""
        self.trouble = ""
        self.end(Outcome.COMPLETE, now)

    def failed(self, outcome: Outcome, now: float, reason: str, detail: str = "") -> None:
        """The newest attempt has failed."""
        self.trouble = reason
        self.end(outcome, now, reason, detail)

    def end(self, outcome: Outcome, now: float, reason: str = "", detail: str = "") -> None:
        """Note how the newest attempt ended, unless it has ended already."""
        attempt = self._attempts[-1] if self._attempts else None
        if attempt is not None and attempt.ended is None:
            attempt.ended = Ended(
                outcome=outcome,
                seconds=now - attempt.began,
                generation=attempt.generation,
                reason=reason,
                detail=detail,
            )
            self.reloads[outcome] += not attempt.start

    def note(self, death: Death) -> None:
        """A worker has ended in an unexpected way."""
        self.deaths[death.worker.number] = death.now, death.cause, death.worker.incident or 0
