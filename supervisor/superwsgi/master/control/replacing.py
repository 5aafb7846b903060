"""Following workers that are to go and others that are to serve in their place, for a command that waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from superwsgi.control import Ended, Outcome, Progress, Stage
from superwsgi.master.control import waiting
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.generations import Generations
from superwsgi.master.generations.record import Record
from superwsgi.master.policy.death import crash_loop
from superwsgi.master.processes.handles import WorkerHandle
from superwsgi.master.states import WorkerState

COMES = (WorkerState.FORKING, WorkerState.BOOTING)
LEAVES = (WorkerState.DRAINING, WorkerState.ENDING)

_DIE_EARLY = "crash loop, workers die as soon as they start"

Pair = tuple[Generation, WorkerHandle]
"""A worker, and the generation that it is of."""


@dataclass(slots=True)
class Replacing:
    """Until all that are `going` are gone and each of `numbers` is served by another worker. `done` says in
    words what has been done; `began` is in monotonic seconds."""

    stage: Stage
    going: list[Pair]
    numbers: set[int]
    generations: Generations
    record: Record
    is_stopping: Callable[[], bool]
    done: Callable[[Replacing], str]
    began: float
    first: str = ""  # what is said before anything is waited for
    _seen: dict[int, WorkerHandle] = field(default_factory=dict)  # those that come, by key

    def __call__(self, now: float) -> Progress | Ended:
        self._seen.update({worker.key: worker for worker in self._coming()})
        return self._answer(self._failed(self._missing()), now)

    def _answer(self, failed: str, now: float) -> Progress | Ended:
        left = [worker for _, worker in self.going if worker.state is not WorkerState.GONE]
        if self.is_stopping():
            return self._stopped(left, now)
        missing = self._missing()
        if failed:
            return self._end(Outcome.FAILED, failed, now)
        if not left and not missing:
            return self._end(Outcome.COMPLETE, self.done(self), now)
        return self._progress(left, missing)

    def begin(self, now: float) -> Progress | Ended:
        """The first answer, which says what is done. Nothing has been tried yet, so nothing has failed."""
        answer = self._answer("", now)
        if isinstance(answer, Ended) or not self.first:
            return answer
        return Progress(stage=self.stage, done=answer.done, total=answer.total, waits_for=self.first)

    def serving(self, number: int) -> WorkerHandle | None:
        """The worker that serves in the place of one that goes."""
        found = (worker for worker in self._coming() if worker.number == number)
        return next((each for each in found if each.state is WorkerState.SERVING), None)

    def _coming(self) -> Iterator[WorkerHandle]:
        going = {worker.key for _, worker in self.going}
        return (
            worker
            for _, worker in self.generations.workers()
            if worker.number in self.numbers and worker.key not in going
        )

    def _missing(self) -> set[int]:
        """Numbers that no other worker serves yet, while they are wanted."""
        target = self.generations.target()
        wanted = {number for number in self.numbers if target is None or number <= target.wanted}
        return {number for number in wanted if self.serving(number) is None}

    def _failed(self, missing: Iterable[int]) -> str:
        """Why the first of those that were to come did not serve; empty if that has not happened."""
        for worker in self._seen.values():
            given_up = worker.asked_to_go is not None and worker.failure is None
            if worker.state is WorkerState.GONE and worker.ready_at is None and not given_up:
                reason = worker.failure or self._death(worker.number)
                return self._why(worker.number, reason, f"superwsgi why {worker.number}")
        target = self.generations.target()
        if target is not None and crash_loop(target.crashes.early):
            # Whoever is to come may not have been tried at all, so no death of its own says why.
            return next((self._why(number, _DIE_EARLY, "superwsgi why") for number in sorted(missing)), "")
        return ""

    def _death(self, number: int) -> str:
        """How the last worker of that number died, since the beginning."""
        when, how, _ = self.record.deaths.get(number, (0.0, "", 0))
        return how if when >= self.began else "it ended"

    def _why(self, number: int, reason: str, more: str) -> str:
        """`more` is the command that has more to say."""
        stay = [worker for _, worker in self.going if worker.number == number and _serves(worker)]
        goes_on = f"{waiting.name(stay[0])} serves meanwhile; " if stay else ""
        then = f"{goes_on}it is tried again, and `{more}` has more"
        return f"the new worker {number} did not serve: {reason}; {then}"

    def _stopped(self, left: list[WorkerHandle], now: float) -> Progress | Ended:
        """Whoever was killed is not replaced any more."""
        if self.stage is not Stage.KILLING:
            return self._end(Outcome.STOPPED, "the site is being stopped", now)
        return self._progress(left, ()) if left else self._end(Outcome.COMPLETE, self.done(self), now)

    def _end(self, outcome: Outcome, reason: str, now: float) -> Ended:
        return Ended(outcome=outcome, seconds=now - self.began, reason=reason)

    def _progress(self, left: list[WorkerHandle], missing: Iterable[int]) -> Progress:
        total = self.numbers | {worker.number for _, worker in self.going}
        open_ = {*missing, *(worker.number for worker in left)}
        return Progress(
            stage=self.stage,
            done=len(total) - len(open_),
            total=len(total),
            waits_for=self._waits_for(sorted(missing)),
        )

    def _waits_for(self, missing: list[int]) -> str:
        awaited = [pair for pair in self.generations.workers() if pair[1].number in missing]
        coming = [worker for _, worker in awaited if worker.state in COMES]
        if coming:
            return waiting.for_start(coming[0])
        # One that was to go before may still be in the way of the next of its number.
        ends = [pair for pair in (*self.going, *awaited) if pair[1].state in LEAVES]
        if ends:
            return waiting.for_end(*ends[0])
        return self._waits_for_fork(missing)

    def _waits_for_fork(self, missing: list[int]) -> str:
        target = self.generations.target()
        if target is None or not target.can_fork():
            return "the application is loaded again first"
        if not missing:
            return "its turn comes" if self.stage is Stage.RECYCLING else "workers are to drain"
        return f"worker {missing[0]} is to be forked"


def _serves(worker: WorkerHandle) -> bool:
    return worker.state is WorkerState.SERVING


def numbers(found: Iterable[int]) -> str:
    """`1, 2 and 5`."""
    *first, last = map(str, sorted(found))
    return f"{', '.join(first)} and {last}" if first else last
