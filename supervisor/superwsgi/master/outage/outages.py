"""Looks whether the site is down, and says so once, with what fails; and that it is over. Nothing else
follows: what has failed is tried again in any case (policy/death.py), for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from superwsgi.log.spelling import duration
from superwsgi.master.context import MasterContext
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.generations import Generations
from superwsgi.master.outage.judging import Outage, Over, judge
from superwsgi.master.policy.death import LONGEST
from superwsgi.master.states import WorkerState

LOOK: Final = 0.5
"""Seconds between two looks."""


class Outages:
    """`outage` is the one that there is, said or not. While the site starts or stops there is none, nor while
    one generation makes room for another."""

    def __init__(
        self, context: MasterContext, generations: Generations, is_stopping: Callable[[], bool]
    ) -> None:
        self._loop = context.loop
        self._errors = context.errors
        self._incidents = context.incidents
        self._generations = generations
        self._is_stopping = is_stopping
        self.outage: Outage | None = None

    def begin(self, now: float, outage: Outage | None = None) -> None:
        """Start looking; `outage` is what an earlier program of this process knew of."""
        self.outage = outage
        self.look(now)

    def reason(self, now: float) -> str:
        """Why the site is down, in words; empty if it is not."""
        if self.outage is None or not self.outage.said:
            return ""
        nothing = "nothing runs" if self._longest(now) is None else "no worker has stayed"
        return f"{nothing} for {duration(now - self.outage.since)}: {self.outage.reason}"

    def look(self, now: float) -> None:
        """Look at all workers, now and from now on."""
        self._loop.call_at(now + LOOK, self.look)
        current = self._generations.current
        if current is None or self._is_stopping() or self._generations.is_between():
            self.outage = None
            return
        served = self._longest(now)
        self.outage, news = judge(self.outage, served, looping=current.crashes.looping(now), now=now)
        if isinstance(news, Over):
            self._say_over(news)
        elif news is not None:
            self._say(current, news, now)
        elif self.outage is not None and self.outage.said and served is None:
            self.outage = replace(self.outage, reason=self._why(current))

    def _longest(self, now: float) -> float | None:
        """For how many seconds a worker has served at most; None if none does."""
        serving = [
            now - (worker.ready_at or now)
            for _, worker in self._generations.workers()
            if worker.state is WorkerState.SERVING and worker.stopped_at is None and worker.dumped_at is None
        ]
        return max(serving, default=None)

    def _say(self, current: Generation, outage: Outage, now: float) -> None:
        reason = self._why(current)
        number = self._errors.error(
            "site down",
            gen=current.number,
            reason=reason,
            since=f"{duration(now - outage.since)} ago",
            next=f"mend that; it is tried again every {duration(LONGEST)} at least, and clients wait",
        )
        self.outage = replace(outage, said=True, incident=number or 0, reason=reason)

    def _say_over(self, over: Over) -> None:
        lasted = duration(max(0.0, over.lasted))
        self._errors.info("site recovered", after=lasted, reason=over.outage.reason, next="serves again")
        self._incidents.ends(over.outage.incident, f"recovered after {lasted}")

    def _why(self, current: Generation) -> str:
        """What has failed last."""
        return self._incidents.why_missing() or (
            "its workers are still booting" if current.workers else "no worker could be started"
        )
