"""Molds and workers as the master hears of them: what they say, and how they end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Final

from superwsgi import messages
from superwsgi.channel import Channel, Closed, Forged, Garbled
from superwsgi.log.spelling import duration, ending
from superwsgi.master.eventloop import EventLoop
from superwsgi.master.generations import launch
from superwsgi.master.generations.generation import GRACE, CannotFork, Generation
from superwsgi.master.generations.rollout import RollOut
from superwsgi.master.policy import backoff, death
from superwsgi.master.processes import hearing, reaper
from superwsgi.master.processes.handles import MoldHandle, WorkerHandle
from superwsgi.master.processes.reaper import ExitCode
from superwsgi.master.processes.strays import Strays
from superwsgi.master.states import GenerationEvent, WorkerEvent, WorkerState
from superwsgi.messages import (
    Unforkable,
    Word,
)
from superwsgi.scoreboard import WorkerCounters
from superwsgi.system import machine
from superwsgi.system.privileges import PrivilegeError


def _to_write(boot: float) -> float:
    """Seconds before the end of timeouts.boot in which a process that still boots can write where it is."""
    return min(0.5, boot / 4)


def _how_ended(code: ExitCode) -> str:
    """Why a mold is gone that has not said so. A code of 0 is not for it to choose: it still had a master."""
    by = ", by the application: it calls os._exit, or closes descriptors that it has not opened"
    return f"mold ended with {ending(code)}" + by * (code == 0)


_GARBLED: Final = 3
"""Packets of a mold that may be no messages of ours."""

_LINGERS: Final = "it has closed its channel and goes on"


class Children:
    """Every process below the master."""

    def __init__(self, rollout: RollOut, loop: EventLoop) -> None:
        self._rollout = rollout
        self._loop = loop
        self._watched: dict[int, Callable[[ExitCode, float], None]] = {}
        self.strays = Strays(loop, lambda: rollout.errors, self._known)

    def watch(self, pid: int, ended: Callable[[ExitCode, float], None]) -> None:
        """Call `ended` when this process ends, which is neither mold nor worker."""
        self._watched[pid] = ended

    def adopt(self, generation: Generation, now: float) -> None:
        """Listen to the processes of a generation that an earlier program of this process has left."""
        mold = generation.mold
        if mold is not None and mold.channel.fileno() >= 0:
            self._listen_to_mold(generation, mold)
        elif mold is not None:
            generation.hurry_mold(now, generation.site.timeouts.graceful)
        for worker in generation.workers.values():
            if worker.channel.fileno() >= 0:
                self._listen_to_worker(generation, worker)

    # Beginnings.

    def start_mold(self, generation: Generation, now: float) -> None:
        """Start a generation's mold and listen to it."""
        try:
            mold = generation.start_mold()
        except (OSError, PrivilegeError) as error:
            self._mold_lost(generation, f"cannot start a mold: {launch.why(error)}", "", now)
            return
        self._listen_to_mold(generation, mold)
        boot = generation.site.timeouts.boot
        self._loop.call_at(now + boot - _to_write(boot), lambda _: self._ask_slow_mold(generation, mold))
        self._loop.call_at(now + boot, lambda _: self._check_loaded(generation, mold))

    def fork(self, generation: Generation, number: int, now: float) -> None:
        try:
            worker = generation.fork(number, now)
        except CannotFork as error:
            generation.fork_at = now + 1.0
            log = self._rollout.errors.bind(worker=number, gen=generation.number)
            log.warning("not forked", reason=str(error), next="again in 1s")
            return
        self._listen_to_worker(generation, worker)
        boot = generation.site.timeouts.boot
        self._loop.call_at(now + boot - _to_write(boot), lambda _: self._ask_slow_worker(generation, worker))
        if generation.mold is None:  # it has become this worker
            self.start_mold(generation, now)

    def _ask_slow_mold(self, generation: Generation, mold: MoldHandle) -> None:
        if generation.mold is mold and not mold.loaded:
            self._say_slow({"gen": generation.number, "pid": mold.pid})
            generation.ask_mold_for_stacks()

    def _ask_slow_worker(self, generation: Generation, worker: WorkerHandle) -> None:
        if worker.state in (WorkerState.FORKING, WorkerState.BOOTING):
            self._say_slow(worker.who())
            generation.ask_for_stacks(worker)

    def _say_slow(self, who: dict[str, object]) -> None:
        log = self._rollout.errors.bind(**who)
        log.warning("still booting", next="its stacks follow; killed at timeouts.boot")

    def _listen_to_mold(self, generation: Generation, mold: MoldHandle) -> None:
        self._loop.on_readable(mold.channel.fileno(), lambda now: self._hear_mold(generation, mold, now))

    def _listen_to_worker(self, generation: Generation, worker: WorkerHandle) -> None:
        fd = worker.channel.fileno()
        self._loop.on_readable(fd, lambda now: self._hear_worker(generation, worker, now))

    def drain(self, generation: Generation, worker: WorkerHandle, reason: str, now: float) -> None:
        """Drain a worker, by its own latest word of whether it serves."""
        self._hear_worker(generation, worker, now)
        if worker.can(WorkerEvent.DRAIN):
            generation.drain(worker, reason, now)

    # What they say.

    def _hear_mold(self, generation: Generation, mold: MoldHandle, now: float) -> None:
        try:
            for word, sender in self._words(mold.channel):
                mold.said = hearing.after(hearing.MOLD, mold.said, word, sender=sender, of=mold.pid)
                self._heed_mold(generation, mold, word, sender, now)
        except Garbled as error:
            self._count_garbled(generation, mold, error)
            self._hear_mold(generation, mold, now)
        except Forged as error:
            self._break_mold(generation, mold, error)
        if mold.channel.ended:
            self._loop.call_at(now + GRACE, lambda _: generation.lose_mold(mold, _LINGERS))

    def _count_garbled(self, generation: Generation, mold: MoldHandle, error: Garbled) -> None:
        """A few are forgiven: the number of a mold's channel means something else elsewhere, under s6 for
        example, and an application may write there."""
        mold.garbled += 1
        if mold.garbled > _GARBLED:
            self._break_mold(generation, mold, error)
        else:
            log = self._rollout.errors.bind(gen=generation.number, pid=mold.pid)
            log.warning("garbled message", reason=str(error), next="ignored")

    def _heed_mold(
        self, generation: Generation, mold: MoldHandle, word: Word, sender: int, now: float
    ) -> None:
        """Raises Forged."""
        if isinstance(word, messages.Loaded):
            mold.loaded, mold.harmless = True, not word.hazards
            generation.apply(GenerationEvent.LOADED)
            took = duration(word.seconds)
            self._rollout.errors.info("mold ready", gen=generation.number, pid=mold.pid, took=took)
            if word.hazards:
                self._warn_of_hazards(generation, word.hazards)
        elif isinstance(word, messages.Unforkable):
            self._unforkable(generation, mold, word, now)
        elif isinstance(word, messages.LoadFailed):
            mold.failure = self.explain(generation, word.reason, locked=word.locked)
            mold.detail = word.detail
            self._loop.call_at(now + GRACE, lambda _: generation.lose_mold(mold, _LINGERS))
        elif isinstance(word, messages.ForkFailed):
            worker = generation.workers.get(word.slot)
            if worker is None or worker.pid is not None:
                raise Forged(f"ForkFailed for slot {word.slot}", sender)
            worker.failure = self.explain(generation, word.reason, locked=word.locked)
            worker.detail = word.detail
            self._worker_ended(generation, worker, None, now)

    def _break_mold(self, generation: Generation, mold: MoldHandle, error: Forged) -> None:
        """A mold that has said something impossible: it is killed, and no longer listened to."""
        self._stop_listening(mold.channel)
        mold.loaded, mold.hazards = False, []
        mold.failure = f"impossible message: {error}"
        log = self._rollout.errors.bind(gen=generation.number, pid=mold.pid)
        log.error("broken mold", reason=mold.failure, next="killed")
        generation.lose_mold(mold, mold.failure)

    def explain(self, generation: Generation, reason: str, *, locked: bool) -> str:
        """Why it failed, and if by a lock that another process of the site may hold, what to do."""
        others = any(not other.is_empty() for other in self._rollout if other is not generation)
        active = [worker.number for worker in generation.workers.values()]
        advice = ""
        if locked and generation.site.rollout.overlap and (others or len(active) > len({*active})):
            advice = "; what serves may hold it: with `rollout: {overlap: no}` that is stopped first"
        elif locked and len(active) > 1:
            advice = "; another worker may hold it: set `workers: 1`"
        return reason + advice

    def _hear_worker(self, generation: Generation, worker: WorkerHandle, now: float) -> None:
        was_forking = worker.pid is None
        self._read_worker(generation, worker, now)
        if worker.state is WorkerState.GONE:
            return
        if worker.pid is None and worker.channel.ended:
            self._never_started(generation, worker, now)
        elif worker.channel.ended:
            generation.cut_off(worker, now)
        elif was_forking and worker.state in (WorkerState.DRAINING, WorkerState.ENDING):
            generation.signal(worker, signal.SIGTERM)  # told to go before it had begun

    def _never_started(self, generation: Generation, worker: WorkerHandle, now: float) -> None:
        """The mold says why before it closes the worker's end of the channel."""
        if generation.mold is not None:
            self._hear_mold(generation, generation.mold, now)
        if worker.state is not WorkerState.GONE:
            self._worker_ended(generation, worker, None, now)

    def _read_worker(self, generation: Generation, worker: WorkerHandle, now: float) -> None:
        try:
            for word, sender in self._words(worker.channel):
                if worker.pid is None:
                    worker.pid = hearing.beginner(word, sender=sender, is_free=self._is_free)
                worker.said = hearing.after(hearing.WORKER, worker.said, word, sender=sender, of=worker.pid)
                self._heed_worker(generation, worker, word, now)
        except Forged as error:
            self._break_worker(generation, worker, error, now)

    def _heed_worker(self, generation: Generation, worker: WorkerHandle, word: Word, now: float) -> None:
        if isinstance(word, messages.Started):
            worker.apply(WorkerEvent.STARTED)
        elif isinstance(word, messages.Ready):
            self._worker_ready(generation, worker, word, now)
        elif isinstance(word, messages.BootFailed):
            worker.failure = self.explain(generation, word.reason, locked=word.locked)
            worker.detail = word.detail
        elif isinstance(word, messages.Recycle):
            worker.recycle = word.reason
            self._rollout.errors.bind(**worker.who()).info("to be recycled", reason=word.reason)

    def _break_worker(self, generation: Generation, worker: WorkerHandle, error: Forged, now: float) -> None:
        """A worker that has said something impossible: it is killed, no longer listened to, and replaced."""
        self._stop_listening(worker.channel)
        if worker.pid is None and self._is_free(error.sender):
            worker.pid = error.sender
        worker.failure = f"impossible message: {error}"
        log = self._rollout.errors.bind(**worker.who())
        log.error("broken worker", reason=worker.failure, next="killed")
        generation.kill(worker, "broken", now)

    def _is_free(self, pid: int) -> bool:
        """Whether it is a child of ours that is nothing else that we know."""
        return pid not in self._known() and reaper.is_child(pid)

    def _worker_ready(
        self, generation: Generation, worker: WorkerHandle, ready: messages.Ready, now: float
    ) -> None:
        worker.apply(WorkerEvent.READY)
        if worker.state is WorkerState.DRAINING:
            generation.give_time_to_drain(worker, now)
        if worker.state is not WorkerState.SERVING:
            return
        worker.ready_at = now
        worker.deadline = None
        generation.apply(GenerationEvent.WORKER_READY)
        self._rollout.errors.bind(**worker.who()).info("serving", took=duration(ready.seconds))
        if self._rollout.current is None and generation is self._rollout.candidate:
            self._rollout.promote(now)

    def _words(self, channel: Channel) -> Iterator[tuple[Word, int]]:
        """What has arrived, and from which process. Raises Forged."""
        while channel.fileno() >= 0 and not channel.ended:  # what a word leads to may close it
            try:
                yield channel.hear()
            except BlockingIOError:
                return
            except Closed:
                self._loop.forget(channel.fileno())

    def _stop_listening(self, channel: Channel) -> None:
        channel.ended = True
        self._loop.forget(channel.fileno())

    # How they end.

    def reap(self, now: float) -> None:
        """Collect every child that has ended."""
        for pid, code in reaper.ended():
            if not self._ended(pid, code, now):
                self._hear_beginners(now)  # the first word of a worker may not have been read yet
                self._ended(pid, code, now)  # else it is a stray
        self.strays.look(now)

    def _hear_beginners(self, now: float) -> None:
        for generation in self._rollout:
            for worker in [worker for worker in generation.workers.values() if worker.pid is None]:
                self._hear_worker(generation, worker, now)

    def _known(self) -> set[int]:
        """The process ids of molds, workers and what else is watched."""
        pids = (handle.pid for generation in self._rollout for handle in generation.handles())
        return {*self._watched, *(pid for pid in pids if pid is not None)}

    def _ended(self, pid: int, code: ExitCode, now: float) -> bool:
        """Whether the process that ended is one that we know."""
        if pid in self._watched:
            self._watched.pop(pid)(code, now)
            return True
        for generation in self._rollout:
            if generation.mold is not None and generation.mold.pid == pid:
                self._mold_ended(generation, generation.mold, code, now)
                return True
            for worker in generation.workers.values():
                if worker.pid == pid:
                    self._worker_ended(generation, worker, code, now)
                    return True
        return False

    def _warn_of_hazards(self, generation: Generation, hazards: list[str]) -> None:
        log = self._rollout.errors.bind(gen=generation.number)
        log.warning("fork hazards", found=", ".join(hazards), next="workers are forked without them")

    def _check_loaded(self, generation: Generation, mold: MoldHandle) -> None:
        if generation.mold is mold and not mold.loaded:
            late = f"not loaded after {duration(generation.site.timeouts.boot)} (timeouts.boot)"
            generation.lose_mold(mold, self._explain_wait(generation, mold.pid, late))

    def kill(self, generation: Generation, worker: WorkerHandle, reason: str, now: float) -> None:
        """End a worker by SIGKILL."""
        if worker.pid is not None and worker.state is WorkerState.BOOTING:
            reason = self._explain_wait(generation, worker.pid, reason)
        self._rollout.errors.bind(**worker.who()).warning("killed", reason=reason)
        generation.kill(worker, reason, now)

    def _explain_wait(self, generation: Generation, pid: int, reason: str) -> str:
        """Why a process that still boots is killed: it may wait for a lock."""
        waits = machine.waits_for_lock(pid)
        return self.explain(
            generation, f"{reason}; it waits for a file's lock" if waits else reason, locked=waits
        )

    def _mold_ended(self, generation: Generation, mold: MoldHandle, code: ExitCode, now: float) -> None:
        generation.stacks.hear()
        if mold.channel.fileno() >= 0:
            self._hear_mold(generation, mold, now)
            self._loop.forget(mold.channel.fileno())
            mold.channel.close()
        generation.mold = None
        if generation.is_leaving():
            return
        if mold.hazards:
            self.start_mold(generation, now)  # one that imports nothing
        else:
            self._mold_lost(generation, mold.failure or _how_ended(code), mold.detail, now)

    def _unforkable(self, generation: Generation, mold: MoldHandle, said: Unforkable, now: float) -> None:
        """Its process becomes the next worker, and a mold that imports nothing takes its place; where the
        workers are there already, as after the loss of an earlier mold, it ends."""
        log = self._rollout.errors.bind(gen=generation.number)
        reason = f"{', '.join(said.hazards)} would not survive a fork"
        log.warning(
            "not preloaded",
            reason=reason,
            took=duration(said.seconds),
            next="workers import the application themselves",
        )
        generation.forkable = False
        mold.hazards, mold.loaded = said.hazards, True
        generation.apply(GenerationEvent.LOADED)
        if generation.workers:
            generation.dismiss_mold(now)
            generation.hurry_mold(now, 0.0)

    def _mold_lost(self, generation: Generation, reason: str, detail: str, now: float) -> None:
        """A candidate is given up; what serves goes on with its workers, and gets a new mold."""
        if generation is self._rollout.candidate:
            self._rollout.fail(reason, now, detail)
            return
        wait = generation.count_lost_mold(now)
        then = f"{'workers go on; ' if generation.workers else ''}a new mold in {duration(wait)}"
        log = self._rollout.errors.bind(gen=generation.number)
        log.error("mold lost", detail, reason=reason, next=then)
        self._loop.call_at(now + wait, lambda now: self._restart_mold(generation, now))

    def _restart_mold(self, generation: Generation, now: float) -> None:
        if generation.mold is None and not generation.is_leaving():
            self.start_mold(generation, now)

    def _worker_ended(
        self, generation: Generation, worker: WorkerHandle, code: ExitCode | None, now: float
    ) -> None:
        """A worker is gone; `code` is None if it was never a process, as far as we saw."""
        self._read_worker(generation, worker, now)
        counters = generation.board.read(worker.slot)
        generation.died(worker, now)
        seen = death.Death(
            code=code,
            served=None if worker.ready_at is None else now - worker.ready_at,
            asked_to_go=worker.asked_to_go is not None or generation.is_leaving(),
            boot_failed=worker.failure is not None and not generation.is_leaving(),
            candidate=generation is self._rollout.candidate,
            early_deaths=generation.early_deaths,
            failures=generation.failures,
            max_failures=generation.site.rollout.max_failures,
        )
        verdict = death.judge(seen)
        generation.failures += death.blames(seen)
        how = "never started" if code is None else ending(code)
        self._report_end(generation, worker, verdict, how, counters, now)
        if verdict is not death.Verdict.EXPECTED or code == -signal.SIGKILL:
            why = worker.failure or worker.asked_to_go
            self._rollout.deaths[worker.number] = now, f"{how}: {why}" if why else how
        if verdict is death.Verdict.ROLL_BACK:
            self._rollout.fail(f"worker {worker.number}: {worker.failure or how}", now, worker.detail)

    def _report_end(
        self,
        generation: Generation,
        worker: WorkerHandle,
        verdict: death.Verdict,
        how: str,
        counters: WorkerCounters,
        now: float,
    ) -> None:
        fields = {"how": how, "requests": str(counters.requests)}
        if worker.failure is not None:
            fields["reason"] = worker.failure
        if counters.in_flight:
            in_hand = (
                f"{r.method} {r.path} {duration(max(0.0, now - r.started))}" for r in counters.in_flight
            )
            fields["in_hand"] = ", ".join(in_hand)
        errors = self._rollout.errors.bind(**worker.who())
        if verdict is death.Verdict.EXPECTED:
            log = errors.warning if counters.in_flight else errors.info
            log("ended", **{"reason": worker.asked_to_go or "its generation goes", **fields})
        elif verdict is death.Verdict.REPLACE:
            wait = generation.fork_at - now
            fields["next"] = f"replaced in {duration(wait)}" if wait > 0 else "replaced at once"
            if backoff.crash_loop(generation.early_deaths):
                fields["state"] = "crash-loop"
            errors.error("died", worker.detail, **fields)
