"""Judges a new generation by its answers, from when it serves until it is confirmed: where pages fail that
did not before, it must not take over. Afterwards it tells what has become of that.

It looks at the workers' tables (totals/by_kind.py) each second while there is a candidate, and now and then
otherwise; evidence.py decides. The candidate is given a fault, as for crashes, and goes back the same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from superwsgi.master.answers.evidence import FEWEST, NOTHING, Answered, may_be_worse, worse
from superwsgi.master.answers.past import Hour, Past
from superwsgi.master.answers.trial import ComparedKind, Trial, answered, named, reason, told
from superwsgi.master.context import MasterContext
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.generations import Generations
from superwsgi.master.states import GenerationState

LOOK: Final = 1.0
REST: Final = 10.0
"""Seconds between two looks while there is no candidate."""

AFTER: Final = 30.0
"""Seconds after a generation went back in which the one before it is watched for the same failures."""

_OFF: Final = 1.0


class Aftermath:
    """A generation went back because of these kinds; `until` the one before is watched."""

    def __init__(self, kinds: list[ComparedKind], until: float) -> None:
        self.until = until
        self.kind = kinds[0]
        self.now = NOTHING

    def is_no_better(self, more: Answered) -> bool:
        """Whether the kind that was worst fails as much as in the generation that went back, nearly."""
        self.now += more
        fails = self.now.failed >= FEWEST and self.now.share >= self.kind.now.share / 2
        return fails and may_be_worse(replace(self.kind, now=self.now))


class Judge:
    """That of one site."""

    def __init__(self, context: MasterContext, generations: Generations) -> None:
        self._loop = context.loop
        self._errors = context.errors
        self._generations = generations
        self._totals = generations.totals
        self._past = Past()
        self._trial: Trial | None = None
        self._guilty: list[ComparedKind] = []  # because of which the candidate on trial goes back
        self._aftermath: Aftermath | None = None
        self._due = 0.0

    def begin(self, now: float, hours: Iterable[Hour] = ()) -> None:
        """Start looking; `hours` are what an earlier program of this process remembered."""
        self._past = Past(hours, now)
        self._look_on(now)

    def hold(self, now: float) -> list[Hour]:
        """What the next program of this process is to remember."""
        return self._past.hold(now)

    def _look_on(self, now: float) -> None:
        self._loop.call_at(now + LOOK, self._look_on)
        self.look(now)

    def look(self, now: float) -> None:
        """Look at all workers, if it is time, and judge the candidate."""
        serving = self._serving()
        if self._trial is not None and (serving is None or serving.number != self._trial.generation):
            self._end(self._trial, now)
        if serving is None and self._aftermath is None and now < self._due:
            return
        self._due = now + REST
        for generation, worker in self._generations.workers():
            self._totals.look_at_kinds(worker, generation.board, now, judged=generation is serving)
        self._remember(now)
        if serving is not None:
            self._try(serving, now)
        self._totals.by_kind.forget_others(frozenset(each.number for each in self._generations))

    def _serving(self) -> Generation | None:
        """The candidate, if it serves and there is a generation to go back to."""
        candidate, current = self._generations.candidate, self._generations.current
        serves = candidate is not None and candidate.state is GenerationState.SERVING
        return candidate if serves and current is not None else None

    def _end(self, trial: Trial, now: float) -> None:
        current = self._generations.current
        if current is not None and current.number == trial.generation:
            self._tell_suspicion(trial)
            self._past.succeed(trial.answered, now)
        elif self._guilty:
            self._aftermath = Aftermath(self._guilty, now + AFTER)
        self._trial, self._guilty = None, []

    def _remember(self, now: float) -> None:
        """What the current generation has answered."""
        current = self._generations.current
        if current is None:
            return
        counted = self._totals.by_kind.take(current.number)
        more = {series: answered(each) for series, each in counted.items()}
        self._past.add(more, now)
        if self._aftermath is not None:
            self._follow_up(self._aftermath, more.get(self._aftermath.kind.name, NOTHING), now)

    def _try(self, candidate: Generation, now: float) -> None:
        """What the candidate has answered."""
        if self._trial is None:
            self._past.cut(now)  # from now on both serve
            self._trial, self._aftermath = Trial(candidate.number), None
        self._trial.add(self._totals.by_kind.take(candidate.number))
        self._judge(self._trial, candidate)

    def _judge(self, trial: Trial, candidate: Generation) -> None:
        tolerated = candidate.site.rollout.max_errors
        if tolerated >= _OFF or candidate.fault is not None:
            return
        found = worse(trial.compared(self._past), tolerated)
        if found:
            self._guilty = found
            why, about = reason(found, tolerated), trial.about(found[0].name)
            candidate.spoil(why, trial.detail(found), about=about)

    def _tell_suspicion(self, trial: Trial) -> None:
        """It has been confirmed, and has failed more often than before, though that may be chance."""
        found = [kind for kind in trial.compared(self._past) if may_be_worse(kind)]
        if found:
            kind = max(found, key=lambda each: each.now.failed)
            then = "it stays: that is too little to go back for"
            about = trial.about(kind.name)
            self._errors.notice("new errors", gen=trial.generation, **about, reason=told(kind), next=then)

    def _follow_up(self, aftermath: Aftermath, more: Answered, now: float) -> None:
        """Tell if going back has mended nothing."""
        if aftermath.is_no_better(more):
            now_failed = f"{aftermath.now.failed} of {aftermath.now.answers} answers"
            why = f"{named(aftermath.kind.name)} fails there as well: {now_failed}"
            then = "mend what both use, such as a database, then reload again"
            current = self._generations.current
            gen = None if current is None else current.number
            self._errors.warning("rolled back in vain", gen=gen, reason=why, next=then)
            self._aftermath = None
        elif now >= aftermath.until:
            self._aftermath = None
