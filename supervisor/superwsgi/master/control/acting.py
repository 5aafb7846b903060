"""What an operator may do to workers and log files by a command: recycle, kill, another number of workers,
reopen. Each is refused with a reason where it could not come true; else it is done or put on the agenda, and
followed.

A reload under way replaces all workers and brings its own number of them: so neither a recycle of all nor
another number is begun beside it. One worker may be recycled or killed at any time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from superwsgi.control import (
    Acting,
    Ended,
    KillRequest,
    LogsRequest,
    Outcome,
    Progress,
    RecycleRequest,
    Stage,
    WorkersRequest,
)
from superwsgi.master.companions.companion import Companion
from superwsgi.master.companions.companions import Companions
from superwsgi.master.companions.replacing import ReplacingCompanions
from superwsgi.master.context import MasterContext
from superwsgi.master.control import status, waiting
from superwsgi.master.control.replacing import COMES, LEAVES, Pair, Replacing, numbers
from superwsgi.master.control.server import Follow
from superwsgi.master.generations.generation import SPARE_WORKERS, Generation
from superwsgi.master.generations.generations import Generations
from superwsgi.master.generations.record import Record
from superwsgi.master.policy.actions import Action, KillWorker, RecycleWorker
from superwsgi.master.policy.causes import Cause
from superwsgi.master.policy.death import crash_loop
from superwsgi.master.reopening import Reopening
from superwsgi.master.states import WorkerState


class CannotAct(Exception):
    """It could not come true; the text says why, and what to do."""


class Acts:
    """`do` is for commands.py; what is to be done to processes goes onto the `agenda`."""

    def __init__(
        self,
        context: MasterContext,
        generations: Generations,
        record: Record,
        reopening: Reopening,
        companions: Companions,
        agenda: list[Action],
        is_stopping: Callable[[], bool],
    ) -> None:
        self._errors = context.errors
        self._generations = generations
        self._record = record
        self._reopening = reopening
        self._companions = companions
        self._agenda = agenda
        self._is_stopping = is_stopping

    def do(self, request: Acting, who: str, now: float) -> tuple[Progress | Ended, Follow | None]:
        """The first answer, and how to go on if more is wanted."""
        try:
            first, follow = self._begin(request, f"asked for by {who}", now)
        except CannotAct as error:
            return Ended(outcome=Outcome.REFUSED, seconds=0.0, reason=str(error)), None
        return first, follow if request.follow and not isinstance(first, Ended) else None

    def stopping(self) -> Progress:
        """How far a stop is."""
        return status.stopping(self._generations, self._companions)

    def _begin(self, request: Acting, reason: str, now: float) -> tuple[Progress | Ended, Follow]:
        """Raises CannotAct."""
        if isinstance(request, LogsRequest):
            return self._reopen(reason, now)
        if isinstance(request, KillRequest | RecycleRequest) and request.worker is not None:
            meant = self._companions.meant(request.worker)
            if meant:
                exchange = self._exchange(request, meant, reason, now)
                return exchange(now), exchange
        if isinstance(request, KillRequest):
            replacing = self._kill(request, reason, now)
        elif self._is_stopping():
            raise CannotAct("the site is being stopped")
        elif isinstance(request, RecycleRequest):
            replacing = self._recycle(request, reason, now)
        else:
            replacing = self._scale(request, reason, now)
        return replacing.begin(now), replacing

    # Log files.

    def _reopen(self, reason: str, now: float) -> tuple[Progress | Ended, Follow]:
        self._errors.info("asked to reopen the log files", reason=reason)
        self._reopening.ask(now)
        follow = partial(self._reopened, now)
        return follow(now), follow

    def _reopened(self, began: float, now: float) -> Progress | Ended:
        trouble = self._reopening.trouble
        if self._reopening.busy:
            return Progress(stage=Stage.REOPENING, waits_for=trouble)
        if trouble:
            reason = f"{trouble}; the old files stay in use, and it is tried again"
            return Ended(outcome=Outcome.FAILED, seconds=now - began, reason=reason)
        return Ended(outcome=Outcome.COMPLETE, seconds=now - began, reason="log files reopened")

    # Workers.

    def _recycle(self, request: RecycleRequest, reason: str, now: float) -> Replacing:
        going = self._all() if request.worker is None else [self._one_to_recycle(request.worker)]
        target = self._generations.target()
        if target is not None and crash_loop(target.crashes.early):
            raise CannotAct("workers die as soon as they start, so a new one would, too: see `superwsgi why`")
        which = numbers({worker.number for _, worker in going})
        self._errors.info("asked to recycle", workers=which, reason=reason)
        for generation, worker in going:
            self._agenda.append(RecycleWorker(generation.number, worker.key, reason, Cause.ASKED))
        return self._replacing(Stage.RECYCLING, going, now, _recycled)

    def _all(self) -> list[Pair]:
        self._refuse_beside_reload("replaces all workers")
        found = [pair for pair in self._generations.workers() if pair[1].state is WorkerState.SERVING]
        if not found:
            raise CannotAct("no worker serves: see `superwsgi status`")
        return found

    def _one_to_recycle(self, word: str) -> Pair:
        found = self._meant(word)
        leaving = [pair for pair in found if pair[1].recycle is not None or pair[1].state in LEAVES]
        if leaving:
            return leaving[0]  # to be followed by whoever asks again
        chosen = self._only(word, found)
        if chosen[1].state in COMES:
            raise CannotAct(
                f"{waiting.for_start(chosen[1])}, so it is fresh already; to end it: `superwsgi kill {word}`"
            )
        return chosen

    def _kill(self, request: KillRequest, reason: str, now: float) -> Replacing:
        generation, worker = self._only(request.worker, self._meant(request.worker))
        if worker.pid is None:
            raise CannotAct(f"{waiting.for_start(worker)}, and is no process yet")
        held = waiting.in_hand(generation, worker)
        told = f"{waiting.name(worker)} killed, in hand: {held or 'nothing'}"
        self._agenda.append(KillWorker(generation.number, worker.key, reason))
        replacing = self._replacing(Stage.KILLING, [(generation, worker)], now, partial(_killed, told))
        replacing.first = told
        return replacing

    def _replacing(
        self, stage: Stage, going: list[Pair], now: float, done: Callable[[Replacing], str]
    ) -> Replacing:
        which = {worker.number for _, worker in going}
        known = self._generations, self._record, self._is_stopping
        return Replacing(stage, going, which, *known, done, now)

    def _exchange(
        self, request: KillRequest | RecycleRequest, meant: list[Companion], reason: str, now: float
    ) -> ReplacingCompanions:
        """Of companions: one after the other, or at once by SIGKILL. Raises CannotAct."""
        kills = isinstance(request, KillRequest)
        if self._is_stopping() and not kills:
            raise CannotAct("the site is being stopped")
        going = [(each, each.process) for each in meant if each.pid is not None and each.process is not None]
        if not going:
            raise CannotAct(f"{request.worker} does not run right now: see `superwsgi why {request.worker}`")
        for companion, process in going:
            if kills:
                self._companions.kill(companion, reason)
            else:
                process.due = process.due or reason
        stage = Stage.KILLING if kills else Stage.RECYCLING
        return ReplacingCompanions(stage, going, "killed" if kills else "recycled", self._is_stopping, now)

    def _scale(self, request: WorkersRequest, reason: str, now: float) -> Replacing:
        self._refuse_beside_reload("brings as many workers as its configuration says")
        target = self._generations.target()
        if target is None:
            raise CannotAct("no generation serves: see `superwsgi status`")
        before = target.wanted
        wanted = _set_number(target, request)
        then = how_long(target)
        self._errors.info("worker count changed", workers=wanted, before=before, reason=reason, next=then)
        going = [pair for pair in self._generations.workers() if pair[1].number > wanted]
        replacing = self._replacing(Stage.SCALING, going, now, partial(_scaled, wanted, then))
        replacing.numbers = set(range(before + 1, wanted + 1))
        return replacing

    def _refuse_beside_reload(self, what: str) -> None:
        candidate = self._generations.candidate
        if self._generations.current is None:
            raise CannotAct("the site is still starting: wait until it serves")
        if candidate is not None:
            raise CannotAct(
                f"generation {candidate.number} is being rolled out, which {what}: wait until it has ended"
            )

    # Which worker is meant.

    def _meant(self, word: str) -> list[Pair]:
        """Those with this number or process id; there is one at least."""
        found = [pair for pair in self._generations.workers() if pair[1].is_called(word)]
        if found:
            return found
        target = self._generations.target()
        if target is not None and word.isdecimal() and 1 <= int(word) <= target.wanted:
            raise CannotAct(f"worker {word} does not run right now: see `superwsgi why {word}`")
        there = sorted({worker.number for _, worker in self._generations.workers()})
        known = f"there are: {numbers(there)}, also by process id" if there else "there is none right now"
        names = sorted({companion.name for companion in self._companions})
        others = f"; companions: {', '.join(names)}" if names else ""
        raise CannotAct(f"no worker {word}; {known}{others}")

    def _only(self, word: str, found: list[Pair]) -> Pair:
        if len(found) > 1:
            each = (
                f"{worker.pid} ({worker.state.value}, generation {worker.generation})" for _, worker in found
            )
            raise CannotAct(
                f"{word} may be any of {len(found)} workers; give a process id: {', '.join(each)}"
            )
        return found[0]


def _set_number(target: Generation, request: WorkersRequest) -> int:
    """Returns how many workers there are to be now. Raises CannotAct."""
    numbers = target.numbers
    if request.auto:
        if numbers.least == numbers.most:
            raise CannotAct(
                f"`workers` is a number in the site file, {numbers.most}: for as many as the load calls for"
                " write workers: {min: 2, max: 8} there, and reload"
            )
        return numbers.unpin()
    asked = numbers.wanted + (request.difference or 0) if request.number is None else request.number
    _check_room(target, asked)
    return numbers.pin(asked)


def how_long(generation: Generation) -> str:
    """For how long it keeps the number of workers that it has."""
    numbers = generation.numbers
    if numbers.elastic:
        return f"as the load calls for, {numbers.least} to {numbers.most}"
    can_follow = numbers.least < numbers.most
    return "until the next reload" + (", or `superwsgi workers auto`" if can_follow else "")


def _check_room(target: Generation, wanted: int) -> None:
    """Raises CannotAct."""
    if wanted < 1:
        raise CannotAct("a site has at least one worker; `superwsgi stop` ends it")
    room = target.numbers.room
    if wanted > room:
        own = room - SPARE_WORKERS
        raise CannotAct(
            f"at most {room}: what its {own} workers share has room for {SPARE_WORKERS} more;"
            " for others change `workers` in the site file and reload"
        )


# What has been done, in words.


def _recycled(replacing: Replacing) -> str:
    if len(replacing.going) > 1:
        return f"{len(replacing.going)} workers recycled{_cost(replacing)}"
    return f"{waiting.name(replacing.going[0][1])} recycled{_in_its_place(replacing)}{_cost(replacing)}"


def _cost(replacing: Replacing) -> str:
    """`; 1 request lost, see ...`: it took longer than a worker may drain."""
    lost = sum(worker.lost for _, worker in replacing.going)
    return f"; {lost} request{'s' * (lost > 1)} lost, see `superwsgi why`" if lost else ""


def _killed(told: str, replacing: Replacing) -> str:
    return told + _in_its_place(replacing)


def _in_its_place(replacing: Replacing) -> str:
    """`; pid 830 serves`; nothing where it was one too many, or the site stops."""
    successor = replacing.serving(replacing.going[0][1].number)
    return f"; pid {successor.pid} serves" if successor is not None else ""


def _scaled(wanted: int, then: str, replacing: Replacing) -> str:
    serve = f"{wanted} worker{'s' * (wanted > 1)} serve{'s' * (wanted == 1)}"
    return f"{serve}, {then}{_cost(replacing)}"
