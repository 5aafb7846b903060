"""Molds and workers as the master hears of them: what they say, and how they end. The facts are noted where
they belong, in handles, generations and the site's record; the rest of the turn decides what follows.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from superwsgi.board.counts import WorkerCounters
from superwsgi.channel import Channel, Closed, Forged, Garbled
from superwsgi.log.rate_limit import Repeats
from superwsgi.log.spelling import duration, ending
from superwsgi.master.context import MasterContext
from superwsgi.master.generations.dumps import Dumps
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.generations import Generations
from superwsgi.master.generations.monitor import count_refusals
from superwsgi.master.generations.record import Death, Record
from superwsgi.master.incidents.wording import IMPOSSIBLE
from superwsgi.master.memory.leaks import Leaks
from superwsgi.master.policy import causes, death
from superwsgi.master.policy.actions import (
    Action,
    DismissMold,
    EndMold,
    KillBroken,
    RemindWorker,
    ReplaceMold,
    StartMold,
)
from superwsgi.master.policy.causes import Cause
from superwsgi.master.processes.handles import GRACE, MoldHandle, WorkerHandle
from superwsgi.master.processes.program import ExitCode
from superwsgi.master.processes.reaping import ended, is_child
from superwsgi.master.processes.strays import Strays
from superwsgi.master.processes.usage import cpu_seconds
from superwsgi.master.states import GenerationEvent, WorkerEvent, WorkerState
from superwsgi.messages import (
    BootFailed,
    ForkFailed,
    Grows,
    Loaded,
    LoadFailed,
    Ready,
    Recycle,
    Started,
    Unforkable,
    WentWrong,
    Word,
)
from superwsgi.system import machine

_LINGERS: Final = "it closed its channel but keeps running"


Crashed = Callable[[Generation, WorkerHandle, WorkerCounters, float], None]
"""Is told of a worker that a request may have ended: what it had in hand, and when."""


class MoldOf(NamedTuple):
    """The mold of a generation, whichever process that is at the time."""

    generation: int


class Children:
    """Every process below the master."""

    def __init__(
        self, context: MasterContext, generations: Generations, record: Record, agenda: list[Action]
    ) -> None:
        """It puts actions against processes that say or do impossible things on the `agenda`."""
        self._loop = context.loop
        self._errors = context.errors
        self._incidents = context.incidents
        self._generations = generations
        self._record = record
        self._agenda = agenda
        self._watched: dict[int, Callable[[ExitCode, float], None]] = {}
        self._some_ended = False
        self._repeats = Repeats()
        self.crashed: Crashed = lambda generation, worker, counters, now: None
        self._leaks = Leaks(context.errors)
        self.dumps = Dumps(context)
        self.strays = Strays(context.loop, lambda: context.errors, self._known)

    def watch(self, pid: int, ended: Callable[[ExitCode, float], None]) -> None:
        """Call `ended` when this process, neither mold nor worker, ends."""
        self._watched[pid] = ended

    def adopt(self, generation: Generation, now: float) -> None:
        """Listen to the processes of a generation left by an earlier program of this process."""
        mold = generation.mold
        self.dumps.listen(generation)
        if mold is not None and mold.is_heard():
            self.listen_to_mold(generation, mold)
        elif mold is not None:
            generation.hurry_mold(now, generation.site.timeouts.graceful)
        for worker in generation.workers.values():
            if worker.channel.fileno() >= 0:
                self.listen_to_worker(generation, worker)

    def listen_to_mold(self, generation: Generation, mold: MoldHandle) -> None:
        self._loop.on_readable(mold.channel.fileno(), lambda now: self.hear_mold(generation, mold, now))
        self.dumps.listen(generation)

    def listen_to_worker(self, generation: Generation, worker: WorkerHandle) -> None:
        fd = worker.channel.fileno()
        self._loop.on_readable(fd, lambda now: self.hear_worker(generation, worker, now))
        self.dumps.listen(generation, worker)

    # What they say.

    def hear_mold(self, generation: Generation, mold: MoldHandle, now: float) -> None:
        try:
            for word, sender in self._words(mold.channel):
                mold.heard(word, sender)
                self._heed_mold(generation, mold, word, sender, now)
        except Garbled as error:
            self._count_garbled(generation, mold, error)
            self.hear_mold(generation, mold, now)
        except Forged as error:
            self._break_mold(generation, mold, error)
        if mold.channel.ended:
            self._end_if_it_lingers(generation, mold, now)

    def _end_if_it_lingers(self, generation: Generation, mold: MoldHandle, now: float) -> None:
        """Kill a mold that should have ended by itself by now."""
        self._loop.call_at(now + GRACE, lambda _: self._lingers(generation, mold))

    def _lingers(self, generation: Generation, mold: MoldHandle) -> None:
        if generation.mold is mold:  # else it has ended, and its process id may have been reused
            self._agenda.append(EndMold(generation.number, mold.pid, _LINGERS))

    def _count_garbled(self, generation: Generation, mold: MoldHandle, error: Garbled) -> None:
        if mold.garble():
            log = self._errors.bind(gen=generation.number, pid=mold.pid)
            log.warning("garbled message", reason=str(error), next="ignored")
        else:
            self._break_mold(generation, mold, error)

    def _heed_mold(
        self, generation: Generation, mold: MoldHandle, word: Word, sender: int, now: float
    ) -> None:
        """Raises Forged."""
        if isinstance(word, WentWrong):
            self._reported(mold, {"mold": mold.pid, "gen": generation.number}, word, now)
        elif isinstance(word, Loaded):
            self._loaded(generation, mold, word)
        elif isinstance(word, Unforkable):
            self._unforkable(generation, mold, word)
        elif isinstance(word, LoadFailed):
            mold.fail(self._explain(generation, word), word.detail)
            self._end_if_it_lingers(generation, mold, now)
        elif isinstance(word, ForkFailed):
            worker = generation.workers.get(word.slot)
            if worker is None or worker.pid is not None:
                raise Forged(f"ForkFailed for slot {word.slot}", sender)
            worker.fail(self._explain(generation, word), word.detail)
            self.worker_ended(generation, worker, None, now)

    def _loaded(self, generation: Generation, mold: MoldHandle, word: Loaded) -> None:
        mold.can_be_forked(harmless=not word.hazards)
        generation.apply(GenerationEvent.LOADED)
        self._incidents.serves(MoldOf(generation.number))
        took = duration(word.seconds)
        self._errors.info("mold ready", gen=generation.number, pid=mold.pid, took=took)
        if word.hazards:
            log = self._errors.bind(gen=generation.number)
            found = ", ".join(word.hazards)
            log.notice("fork hazards", found=found, next="workers are forked without them")

    def _unforkable(self, generation: Generation, mold: MoldHandle, word: Unforkable) -> None:
        self._errors.bind(gen=generation.number).notice(
            "not preloaded",
            reason=f"{', '.join(word.hazards)} would not survive a fork",
            took=duration(word.seconds),
            next="workers import the application themselves",
        )
        generation.become_unforkable(mold, word.hazards)
        if generation.workers:  # as after the loss of an earlier mold
            self._agenda.append(DismissMold(generation.number, mold.pid))

    def _explain(self, generation: Generation, word: LoadFailed | ForkFailed | BootFailed) -> str:
        return self._generations.explain(generation, word.reason, locked=word.locked)

    def _break_mold(self, generation: Generation, mold: MoldHandle, error: Forged) -> None:
        """A mold has sent an impossible message: kill it, and stop listening to it."""
        reason = f"{IMPOSSIBLE}: {error}"
        self._loop.forget(mold.channel.fileno())
        mold.break_off(reason)
        log = self._errors.bind(gen=generation.number, pid=mold.pid)
        log.error(IMPOSSIBLE, reason=str(error), next="the mold is killed")
        self._agenda.append(EndMold(generation.number, mold.pid, reason))

    def hear_worker(self, generation: Generation, worker: WorkerHandle, now: float) -> None:
        was_forking = worker.pid is None
        self._read_worker(generation, worker, now)
        if worker.state is WorkerState.GONE:
            return
        if worker.pid is None and worker.channel.ended:
            self._never_started(generation, worker, now)
        elif worker.channel.ended:
            worker.cut(now)
        elif was_forking and worker.state in (WorkerState.DRAINING, WorkerState.ENDING):
            self._agenda.append(RemindWorker(generation.number, worker.key))

    def _never_started(self, generation: Generation, worker: WorkerHandle, now: float) -> None:
        """The mold has said why before it closed the worker's end of the channel."""
        if generation.mold is not None:
            self.hear_mold(generation, generation.mold, now)
        if worker.state is not WorkerState.GONE:
            self.worker_ended(generation, worker, None, now)

    def _read_worker(self, generation: Generation, worker: WorkerHandle, now: float) -> None:
        try:
            for word, sender in self._words(worker.channel):
                worker.heard(word, sender, self._is_free)
                self._heed_worker(generation, worker, word, now)
        except Forged as error:
            self._break_worker(worker, error)

    def _heed_worker(self, generation: Generation, worker: WorkerHandle, word: Word, now: float) -> None:
        if isinstance(word, WentWrong):
            self._reported(worker, worker.who(), word, now)
        elif isinstance(word, Grows):
            _count(worker, "suspects", now)
            self._leaks.heard(worker, word, generation.memory.soft, now)
        elif isinstance(word, Started):
            worker.apply(WorkerEvent.STARTED)
        elif isinstance(word, Ready):
            self._worker_ready(generation, worker, word, now)
        elif isinstance(word, BootFailed):
            worker.fail(self._explain(generation, word), word.detail)
        elif isinstance(word, Recycle) and worker.state is WorkerState.SERVING:
            self._asks_to_be_recycled(worker, word)

    def _asks_to_be_recycled(self, worker: WorkerHandle, word: Recycle) -> None:
        """That its time has come is no incident; that a thread of it is stuck is one."""
        if word.stuck is None:
            self.is_due(worker, word.reason, Cause.REQUESTS_MAX)
            return
        stuck = word.stuck
        self.recycle(
            worker,
            word.reason,
            Cause.STUCK,
            request=stuck.id,
            method=stuck.method,
            target=stuck.target,
            seconds=round(stuck.seconds, 1),
        )

    def is_due(self, worker: WorkerHandle, reason: str, cause: Cause) -> None:
        """Have a worker that serves replaced, as its time has come; the first reason counts."""
        if worker.state is WorkerState.SERVING and worker.recycle is None:
            worker.replace(reason, cause)
            self._errors.bind(**worker.who()).info("to be recycled", reason=reason)

    def recycle(
        self, worker: WorkerHandle, reason: str, cause: Cause, *, leaves_first: bool = False, **fields: object
    ) -> None:
        """Have a worker that serves replaced, because something is wrong with it; the first reason counts."""
        if worker.state is WorkerState.SERVING and worker.recycle is None:
            worker.replace(reason, cause, leaves_first=leaves_first)
            log = self._errors.bind(**worker.who())
            then = (
                "drained, and replaced once it is gone"
                if leaves_first
                else "drained once its replacement serves"
            )
            self.goes(worker, log.warning("to be recycled", "", reason=reason, **fields, next=then))

    def goes(self, worker: WorkerHandle, incident: int | None) -> None:
        """A worker is ended or replaced because of this incident."""
        worker.goes_because_of(incident)
        self._incidents.misses(worker.number, incident)

    def _reported(
        self, process: MoldHandle | WorkerHandle, who: dict[str, object], report: WentWrong, now: float
    ) -> None:
        """Write the line that a process would have written itself. Raises Forged."""
        _count(process, "incidents", now)
        self._errors.as_of(**who).incident(report.level, report.event, report.detail, **report.fields)

    def _break_worker(self, worker: WorkerHandle, error: Forged) -> None:
        """A worker has sent an impossible message: kill it, stop listening to it, and replace it."""
        reason = f"{IMPOSSIBLE}: {error}"
        self._loop.forget(worker.channel.fileno())
        worker.break_off(reason, error.sender if self._is_free(error.sender) else None)
        log = self._errors.bind(**worker.who())
        log.error(IMPOSSIBLE, reason=str(error), next="the worker is killed, and replaced")
        self._agenda.append(KillBroken(worker.generation, worker.key))

    def _is_free(self, pid: int) -> bool:
        """Whether it is our child and not yet known as something else."""
        return pid not in self._known() and is_child(pid)

    def _worker_ready(self, generation: Generation, worker: WorkerHandle, ready: Ready, now: float) -> None:
        worker.ready(now)
        if worker.state is WorkerState.DRAINING:
            generation.give_time_to_drain(worker, now)
        if worker.state is WorkerState.SERVING:
            generation.apply(GenerationEvent.WORKER_READY)
            generation.numbers.serves(worker.number)
            self._errors.bind(**worker.who()).info("serving", took=duration(ready.seconds))
            self._incidents.serves(worker.number)
            generation.put_in_quarantine(worker, self._generations.quarantine, now)

    def _words(self, channel: Channel) -> Iterator[tuple[Word, int]]:
        """The messages that have arrived, and from which process. Raises Forged."""
        while channel.fileno() >= 0 and not channel.ended:  # the reaction to a word may close it
            try:
                yield channel.hear()
            except BlockingIOError:
                return
            except Closed:
                self._loop.forget(channel.fileno())

    # How they end.

    def reap(self, now: float) -> None:
        """Collect every child that has ended."""
        self._some_ended = True
        for pid, code in ended():
            if not self._ended(pid, code, now):
                self._hear_beginners(now)  # the first word of a worker may not have been read yet
                self._ended(pid, code, now)  # else it is a stray

    def look_for_strays(self, now: float) -> None:
        """After every turn: look for what ended processes have left behind."""
        if self._some_ended:
            self._some_ended = False
            self.strays.look(now)

    def _hear_beginners(self, now: float) -> None:
        for generation in self._generations:
            for worker in [worker for worker in generation.workers.values() if worker.pid is None]:
                self.hear_worker(generation, worker, now)

    def _known(self) -> set[int]:
        """The process ids of molds, workers and other watched programs."""
        pids = (handle.pid for _, handle in self._generations.handles())
        return {*self._watched, *(pid for pid in pids if pid is not None)}

    def _ended(self, pid: int, code: ExitCode, now: float) -> bool:
        """Whether the process that ended is a known one."""
        if pid in self._watched:
            self._watched.pop(pid)(code, now)
            return True
        for generation, handle in self._generations.handles():
            if handle.pid == pid:
                if isinstance(handle, MoldHandle):
                    self.mold_ended(generation, handle, code, now)
                else:
                    self.worker_ended(generation, handle, code, now)
                return True
        return False

    def mold_ended(self, generation: Generation, mold: MoldHandle, code: ExitCode, now: float) -> None:
        self.dumps.finish(generation, None, now)
        generation.pipes.hear()
        if mold.is_heard():
            self.hear_mold(generation, mold, now)
        generation.bury_mold(mold)
        reason = mold.failure or _how_ended(code)
        if generation.is_leaving():
            return
        if mold.hazards:
            self._agenda.append(StartMold(generation.number))  # one that imports nothing
        elif generation is self._generations.candidate:
            generation.spoil(reason, mold.detail)
        else:
            self._agenda.append(ReplaceMold(generation.number, reason, mold.detail))

    def worker_ended(
        self, generation: Generation, worker: WorkerHandle, code: ExitCode | None, now: float
    ) -> None:
        """A worker is gone; `code` is None if we never saw it as a process."""
        self._read_worker(generation, worker, now)
        counters = generation.board.read(worker.slot)
        worker.spent(now, None if worker.pid is None else cpu_seconds(worker.pid))  # not reaped yet
        self.dumps.finish(generation, worker, now)  # its own output comes before the line about its end
        self._generations.totals.bury(worker, generation.board, now)
        judged = generation is self._generations.candidate
        self._generations.totals.look_at_kinds(worker, generation.board, now, judged=judged)
        count_refusals(self._incidents, generation, worker)
        generation.bury(worker, now)
        seen = self._seen(generation, worker, code, now)
        verdict = death.judge(seen)
        memory_ran_out = self._memory_ran_out(code)
        end = _end(worker, seen, memory_ran_out)
        if verdict is not death.Verdict.ROLL_BACK:
            self._generations.totals.restarted(causes.classify(end))
        if death.blames(seen):
            generation.crashes.blame()
        died = Death(worker, code, counters, generation.crashes, now, memory_ran_out)
        died.tell(self._errors.bind(**worker.who()), self._incidents, verdict, self._repeats)
        if causes.may_be_of_a_request(end, accepting=counters.accepting):
            self.crashed(generation, worker, counters, now)
        if verdict is not death.Verdict.EXPECTED or code == -signal.SIGKILL or worker.recycle is not None:
            self._record.note(died)
        if verdict is death.Verdict.ROLL_BACK:
            generation.spoil(f"worker {worker.number}: {worker.failure or died.how}", worker.detail)

    def _memory_ran_out(self, code: ExitCode | None) -> bool:
        """Whether the kernel may have sent that SIGKILL for want of memory."""
        return code == -signal.SIGKILL and self._incidents.claim_kill(machine.out_of_memory_kills())

    def _seen(
        self, generation: Generation, worker: WorkerHandle, code: ExitCode | None, now: float
    ) -> death.DeathView:
        leaving = generation.is_leaving()
        return death.DeathView(
            code=code,
            served=None if worker.ready_at is None else now - worker.ready_at,
            asked_to_go=worker.asked_to_go is not None or leaving,
            boot_failed=worker.failure is not None and not leaving,
            candidate=generation is self._generations.candidate,
            early_deaths=generation.crashes.early,
            failures=generation.crashes.blamed,
            max_failures=generation.site.rollout.max_failures,
        )


def _end(worker: WorkerHandle, seen: death.DeathView, memory_ran_out: bool) -> causes.EndView:
    return causes.EndView(
        code=seen.code,
        asked_to_go=seen.asked_to_go,
        cause=worker.cause if worker.asked_to_go is not None else None,
        failed=seen.boot_failed,
        served=seen.served is not None,
        memory_ran_out=memory_ran_out,
    )


def _how_ended(code: ExitCode) -> str:
    """Why a mold is gone that did not say so. It must not end with 0 on its own: it still had a master."""
    by = ", by the application: it calls os._exit, or closes descriptors that it did not open"
    return f"mold ended with {ending(code)}" + by * (code == 0)


def _count(process: MoldHandle | WorkerHandle, what: str, now: float) -> None:
    """It reports something. Raises Forged where there is too much of it."""
    if not process.reports.take(int(now * 1e9)):
        raise Forged(f"more {what} than our code would send", process.pid or 0)
