"""What operators learn of the past: starts and reloads, each with a number, how they ended, and why the last
one failed; and how workers died, in the log and, for each worker's number, the last time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from superwsgi.control import Ended, Outcome
from superwsgi.counts import WorkerCounters
from superwsgi.log.error import ErrorLog
from superwsgi.log.spelling import duration, ending
from superwsgi.master.policy.death import Crashes, Verdict, crash_loop
from superwsgi.master.processes.handles import WorkerHandle
from superwsgi.master.processes.program import ExitCode

_REMEMBERED: Final = 16


@dataclass(slots=True)
class Attempt:
    """One start or reload; `generation` is None until there is one, `ended` is None while it goes on."""

    number: int
    began: float
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

    @property
    def how(self) -> str:
        return "never started" if self.code is None else ending(self.code)

    @property
    def cause(self) -> str:
        """How it ended and, if that is known, why."""
        why = self.worker.failure or self.worker.asked_to_go
        return f"{self.how}: {why}" if why else self.how

    def tell(self, log: ErrorLog, verdict: Verdict) -> None:
        """Log it. One that ends a roll-out is reported when that is given up."""
        if verdict is Verdict.EXPECTED:
            say = log.warning if self.counters.in_flight else log.info
            reason = self.worker.asked_to_go or "its generation is ending"
            say("ended", **{"reason": reason, **dict(self._facts())})
        elif verdict is Verdict.REPLACE:
            log.error("died", self.worker.detail, **dict(self._facts()), **dict(self._consequence()))

    def _facts(self) -> Iterator[tuple[str, str]]:
        yield "how", self.how
        yield "requests", str(self.counters.requests)
        if self.worker.failure is not None:
            yield "reason", self.worker.failure
        if self.counters.in_flight:
            spent = ((r, max(0.0, self.now - r.started)) for r in self.counters.in_flight)
            yield "in_hand", ", ".join(f"{r.method} {r.path} {duration(seconds)}" for r, seconds in spent)

    def _consequence(self) -> Iterator[tuple[str, str]]:
        wait = self.crashes.fork_at - self.now
        yield "next", f"replaced in {duration(wait)}" if wait > 0 else "replaced at once"
        if crash_loop(self.crashes.early):
            yield "state", "crash-loop"


class Record:
    """One site's record. `deaths` are the last ones by worker number: when (monotonic seconds) and how;
    `newest` is the number of the last attempt, the only one that can still be going on."""

    def __init__(self) -> None:
        self.trouble = ""  # why the last start or reload failed; empty once one has succeeded
        self.deaths: dict[int, tuple[float, str]] = {}
        self.newest = 0
        self._attempts: deque[Attempt] = deque(maxlen=_REMEMBERED)

    @property
    def next(self) -> int:
        """The number of the next attempt."""
        return self.newest + 1

    def find(self, number: int) -> Attempt | None:
        """None for an attempt that is still to come, or long over."""
        return next((attempt for attempt in self._attempts if attempt.number == number), None)

    def begin(self, now: float) -> int:
        """Begin a new attempt; returns its number."""
        self.newest += 1
        self._attempts.append(Attempt(self.newest, now))
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

    def note(self, death: Death) -> None:
        """A worker has ended in an unexpected way."""
        self.deaths[death.worker.number] = death.now, death.cause
