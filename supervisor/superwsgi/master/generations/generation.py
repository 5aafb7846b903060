"""One loaded version of configuration and application: its mold, its workers, and what they share.

Others read it; it is changed only by these verbs. policy/ and reload.py decide when they are called.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from types import MappingProxyType

import msgspec

from superwsgi.board.scoreboard import Scoreboard
from superwsgi.channel import Channel, Closed
from superwsgi.config.schema import Site
from superwsgi.master import states
from superwsgi.master.eventloop import EventLoop
from superwsgi.master.generations.pipes import Pipes
from superwsgi.master.generations.resources import LogFiles, Shared
from superwsgi.master.policy.causes import Cause
from superwsgi.master.policy.death import Crashes
from superwsgi.master.policy.limits.memory import MemoryLimits, in_bytes
from superwsgi.master.processes.handles import GRACE, MoldHandle, WorkerHandle
from superwsgi.master.processes.launch import Launch, launch_mold
from superwsgi.master.processes.program import Program
from superwsgi.master.processes.stacks import Stacks
from superwsgi.master.release import Release
from superwsgi.master.scaling.numbers import WorkerNumbers
from superwsgi.master.sockets.listener import Listener, for_checks, secured
from superwsgi.master.states import GenerationEvent, GenerationState, WorkerEvent, WorkerState
from superwsgi.messages import (
    Become,
    Boot,
    Drain,
    Fork,
    Message,
    Quarantine,
    Relisten,
    Reopen,
    Stop,
)
from superwsgi.metrics.folder import told
from superwsgi.system import machine
from superwsgi.system.privileges import becomes_another
from superwsgi.worker.boot.handed import hand_over

SPARE_WORKERS = 16
"""How many workers TTIN may add to those of the site file. The scoreboard has two slots for each worker: its
replacement exists before it goes."""

_NONE: Mapping[str, float] = {}

_ENDS = (GenerationState.RETIRING, GenerationState.FAILED, GenerationState.GONE)


NO_FIELDS: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a generation must not take over; `detail` is the traceback's text, if there is one, `about` are
    fields that name a request. `aloud`: print it to stderr too."""

    reason: str
    detail: str = ""
    aloud: bool = False
    about: Mapping[str, object] = field(default_factory=dict)


class CannotFork(Exception):
    """No worker can be forked right now; the text says why."""


class Generation:
    """Generation `number` of the site."""

    def __init__(
        self,
        number: int,
        site: Site,
        release: Release,
        shared: Shared,
        launch: Launch,
        loop: EventLoop,
        board: Scoreboard | None = None,
        pipes: Pipes | None = None,
    ) -> None:
        """`board` and `pipes` are those of a generation that is already running. Raises OSError."""
        self.number = number
        self.site = release.pinned(site)
        self.release = release
        self.listeners = shared.listeners
        self.logs = shared.logs
        self.expires = shared.expires
        self.metrics = shared.metrics
        self.state = GenerationState.PREPARING
        least, most = machine.workers(*site.worker_bounds)
        self.numbers = WorkerNumbers(least, most, most + SPARE_WORKERS, least)
        self.pipes = pipes or Pipes.of(site, loop)
        self.stacks = self.pipes.stacks  # of its molds
        try:
            self.board = board or Scoreboard.create(
                2 * self.numbers.room, site.most_threads + 1, site.metrics.paths, site.limits.upgraded
            )
        except OSError:
            self.pipes.close()
            raise
        self.program: Program | None = None  # must succeed before the generation is loaded
        self.mold: MoldHandle | None = None
        self.fault: Fault | None = None  # why it failed, until it is given up
        self.forkable = True  # none of its imports has left a fork hazard
        self.workers: dict[int, WorkerHandle] = {}  # by slot
        self.crashes = Crashes()
        self.proven = False  # one of its workers has served
        self._launch = launch
        self._loop = loop

    @cached_property
    def memory(self) -> MemoryLimits:
        """How much memory its workers may use, on this machine."""
        memory, total = self.site.memory, machine.memory()
        return MemoryLimits(in_bytes(memory.soft, total), in_bytes(memory.hard, total), memory.measure)

    def apply(self, event: GenerationEvent) -> None:
        """Move to the next state. Raises ImpossibleEvent."""
        self.state = states.after(states.GENERATION, self.state, event)
        self.proven |= self.state is GenerationState.SERVING

    # The mold.

    def start_mold(self) -> MoldHandle:
        """Raises OSError if no process can be made, PrivilegeError if it cannot be the site's user."""
        boot = boot_message(self)
        listeners = [listener.sock.fileno() for listener in self.listeners]
        certificates = [hand_over(self.site.tls)] if boot.handed else []
        files = [self.board.fd, *self.logs.descriptors(), *self.pipes.to_write(), *certificates, *listeners]
        how = partial(self._launch, boot.site, self.release)
        try:
            self.mold = launch_mold(how, boot, files, self._loop.descriptors())
        finally:
            for fd in certificates:
                os.close(fd)
        return self.mold

    def relisten(self, old: Listener, new: Listener, reason: str) -> None:
        """Replace a listener that cannot be mended; workers that have the old one are recycled for this
        reason."""
        self.listeners[self.listeners.index(old)] = replace(new, address=old.address, checks=old.checks)
        message = Relisten(secured(self.listeners), for_checks(self.listeners))
        self._tell_mold(message, [listener.sock.fileno() for listener in self.listeners])
        for worker in self.workers.values():
            worker.replace(worker.recycle or reason, worker.cause or Cause.LISTENER)

    def clear(self, now: float) -> None:
        """Get rid of processes that may be in another generation's way. A mold that holds nothing stays, for
        going back without the disk; the governor handles the workers."""
        self.apply(GenerationEvent.WAIT)
        mold = self.mold
        if mold is None or not mold.harmless or machine.holds_locks(mold.pid):
            self.dismiss_mold(now)

    def is_clear(self) -> bool:
        """Whether it has no such process."""
        mold = self.mold
        stays = self.state is GenerationState.WAITING and mold is not None and mold.is_heard()
        return not self.workers and self.program is None and (mold is None or stays)

    def dismiss_mold(self, now: float) -> None:
        """Tell the mold to end, by closing its channel; kill it if it is busy importing. Also end the command
        that runs before there is a mold."""
        if self.program is not None:
            self.program.end(now)
        mold = self.mold
        if mold is not None and mold.is_heard():
            self._loop.forget(mold.channel.fileno())
            mold.channel.close()
            if not mold.loaded:
                self._loop.call_at(now, lambda _: self._kill_mold(mold))
            elif not self.workers:
                self.hurry_mold(now, self.site.timeouts.graceful)

    def hurry_mold(self, now: float, patience: float) -> None:
        """Kill a dismissed mold that has not ended within `patience` seconds. It may be waiting for the last
        of its workers, to remove what they all used."""
        mold = self.mold
        if mold is not None and not mold.is_heard():
            self._loop.call_at(now + max(patience, GRACE), lambda _: self._kill_mold(mold))

    def _kill_mold(self, mold: MoldHandle) -> None:
        if self.mold is mold:  # else it has ended, and its process id may have been reused
            os.kill(mold.pid, signal.SIGKILL)

    def lose_mold(self, mold: MoldHandle, reason: str) -> None:
        """End a mold that is of no use any more."""
        mold.lose(reason)
        self._kill_mold(mold)

    def become_unforkable(self, mold: MoldHandle, hazards: list[str]) -> None:
        """The mold's process can only become the next worker; one that imports nothing takes its place."""
        self.forkable = False
        mold.must_become(hazards)
        self.apply(GenerationEvent.LOADED)

    def bury_mold(self, mold: MoldHandle) -> None:
        """The mold has ended, or is a worker from now on."""
        if mold.is_heard():
            self._loop.forget(mold.channel.fileno())
            mold.channel.close()
        self.mold = None

    def can_fork(self) -> bool:
        loaded = self.state in (GenerationState.READY, GenerationState.SERVING) and self.fault is None
        return loaded and self.mold is not None and self.mold.loaded

    # What others say about it.

    def run_first(self, program: Program | None) -> None:
        """Set the program that must succeed before it is loaded; None once that has ended."""
        self.program = program

    def spoil(
        self, reason: str, detail: str = "", *, aloud: bool = False, about: Mapping[str, object] = NO_FIELDS
    ) -> None:
        """It has failed and does not take over. The first reason counts."""
        self.fault = self.fault or Fault(reason, detail, aloud, about)

    @property
    def wanted(self) -> int:
        """How many workers it is to have."""
        return self.numbers.wanted

    # Workers.

    def worker(self, key: int) -> WorkerHandle | None:
        return next((worker for worker in self.workers.values() if worker.key == key), None)

    def fork(self, number: int, now: float, quarantine: Mapping[str, float] = _NONE) -> WorkerHandle:
        """Ask the mold for worker `number`, which is not to run what is in `quarantine`. Raises
        CannotFork."""
        slot = next((slot for slot in range(self.board.slots) if slot not in self.workers), None)
        if slot is None:
            raise CannotFork("no room on the scoreboard: old workers are still draining")
        mold = self.mold
        becomes = mold is not None and bool(mold.hazards)
        self.board.clear(slot)
        pipes = mold is not None and mold.pipes
        request = (Become if becomes else Fork)(number, slot, self.proven, pipes, dict(quarantine))
        channel, stacks = self._ask_mold(request, now)
        overdue = f"not serving after {self.site.timeouts.boot:g}s (timeouts.boot)"
        until = now + self.site.timeouts.boot
        worker = WorkerHandle(number, self.number, slot, channel, until, overdue, stacks=stacks)
        worker.quarantine = dict(quarantine)
        self.workers[slot] = worker
        if mold is not None and becomes:
            worker.take_over(mold.pid)
            self.bury_mold(mold)
        return worker

    def _ask_mold(self, request: Fork | Become, now: float) -> tuple[Channel, Stacks | None]:
        """Our ends of the requested worker's channel and pipe. A mold that is not listening is ending right
        now, or is ended."""
        mold = self.mold
        if mold is None:
            raise CannotFork("no mold")
        try:
            return mold.ask(request, self.site.most_threads)
        except (Closed, BlockingIOError):
            self._loop.call_at(now + GRACE, lambda _: self._kill_mold(mold))
            raise CannotFork("its mold is not listening") from None
        except OSError as error:
            raise CannotFork(f"no channel: {error.strerror}") from None

    def put_in_quarantine(self, worker: WorkerHandle, kinds: Mapping[str, float], now: float) -> None:
        """Tell a worker that serves which kinds of requests it is not to run, if that is news to it."""
        if worker.quarantines and worker.quarantine != kinds and not worker.cut_off:
            worker.quarantine = dict(kinds)
            self.tell(worker, Quarantine(dict(kinds)), now)

    def drain(self, worker: WorkerHandle, reason: str, now: float, *, last: bool = False) -> None:
        """Let a worker finish its requests. One that boots has none: SIGTERM ends it, or makes it drain if it
        began to serve a moment ago."""
        serving = worker.state is WorkerState.SERVING
        worker.ask_to_go(reason)
        worker.apply(WorkerEvent.DRAIN)
        if serving:
            self.give_time_to_drain(worker, now)
            self.tell_to_drain(worker, now, last=last)
        else:
            worker.give_until(now + GRACE, "did not end when told to")
            worker.signal(signal.SIGTERM)

    def tell_to_drain(self, worker: WorkerHandle, now: float, *, last: bool) -> None:
        self.tell(worker, Drain(self.site.timeouts.lame_duck, self.site.timeouts.graceful, last), now)

    def give_time_to_drain(self, worker: WorkerHandle, now: float) -> None:
        """A draining worker may have requests in hand."""
        timeouts = self.site.timeouts
        until = now + timeouts.lame_duck + timeouts.graceful + GRACE
        worker.give_until(until, f"not drained after {timeouts.graceful:g}s (timeouts.graceful)")

    def end(self, worker: WorkerHandle, reason: str, now: float) -> None:
        """End a worker without draining, politely first."""
        worker.ask_to_go(reason)
        serving = worker.state in (WorkerState.SERVING, WorkerState.DRAINING)
        worker.apply(WorkerEvent.STOP)
        worker.give_until(now + GRACE, "did not end when told to")
        if serving:
            self.tell(worker, Stop(), now)
        else:
            worker.signal(signal.SIGKILL)

    def kill(self, worker: WorkerHandle, reason: str, now: float, cause: Cause | None = None) -> None:
        """End a worker by SIGKILL."""
        if worker.cut_off or worker.state in (WorkerState.FORKING, WorkerState.BOOTING):
            worker.fail(worker.failure or reason, worker.detail)
        worker.ask_to_go(reason, cause)
        worker.apply(WorkerEvent.STOP)
        worker.killed(now)
        worker.signal(signal.SIGKILL)
        if worker.pid is None and self.mold is not None:
            self._kill_mold(self.mold)  # it has not forked the worker that it was asked for

    def bury(self, worker: WorkerHandle, now: float) -> None:
        """A worker is gone: close what belonged to it, and count an early death."""
        self.pipes.hear()  # its own output comes before the line about its end
        worker.apply(WorkerEvent.EXITED)
        self._loop.forget(worker.channel.fileno())
        worker.channel.close()
        if worker.stacks is not None:
            self._loop.forget(worker.stacks.fd)
            worker.stacks.close()
        del self.workers[worker.slot]
        if not self.workers:
            self.hurry_mold(now, self.site.timeouts.graceful)
        if worker.asked_to_go is None or worker.failure is not None:
            served = None if worker.ready_at is None else now - worker.ready_at
            self.crashes.count(served, now, failed=worker.failure is not None)

    def switch_logs(self, anew: LogFiles, now: float) -> None:
        """Log to these files from now on, in all its processes."""
        self.logs.switch_to(anew)
        message = Reopen(self.logs.error is not None, self.logs.access is not None)
        fds = self.logs.descriptors()
        self._tell_mold(message, fds)
        for worker in self.workers.values():
            self.tell(worker, message, now, fds)

    def give_up(self, now: float) -> None:
        """It does not take over: its mold and the workers that do not serve yet end now, the others once they
        have replacements."""
        self.apply(GenerationEvent.FAIL)
        self.fault = None
        self.dismiss_mold(now)
        for worker in list(self.workers.values()):
            if worker.state in (WorkerState.FORKING, WorkerState.BOOTING):
                self.drain(worker, "its generation was given up", now)

    def retire(self, now: float) -> None:
        """A later one has taken over, or the site stops; the governor decides about its workers."""
        self.apply(GenerationEvent.RETIRE)
        self.dismiss_mold(now)

    def is_leaving(self) -> bool:
        """Whether its processes are only being ended."""
        return self.fault is not None or self.state in _ENDS or self.state is GenerationState.WAITING

    def is_empty(self) -> bool:
        return not self.workers and self.mold is None and self.program is None

    def is_over(self) -> bool:
        """Whether it has ended, and all of its processes are gone."""
        return self.state in _ENDS and self.is_empty()

    def close(self) -> None:
        """Release what only this generation holds. The listeners may live on in others."""
        self.board.close()
        self.pipes.close()
        self.logs.close()

    def handles(self) -> Iterator[MoldHandle | WorkerHandle]:
        """All of its processes."""
        if self.mold is not None:
            yield self.mold
        yield from self.workers.values()

    def _tell_mold(self, message: Message, fds: Sequence[int]) -> None:
        if self.mold is not None and not self.is_leaving():
            with contextlib.suppress(Closed, BlockingIOError):  # its end or time-out will follow
                self.mold.channel.send(message, fds)

    def tell(self, worker: WorkerHandle, message: Message, now: float, fds: Sequence[int] = ()) -> None:
        """Send a message, or end a worker that has stopped listening."""
        try:
            worker.channel.send(message, fds)
        except Closed:
            worker.cut(now)
        except BlockingIOError:
            worker.fail("does not read its channel", worker.detail)
            self.kill(worker, "does not read its channel", now)


def boot_message(generation: Generation) -> Boot:
    """What its next mold is to be told. If an import must not run beside workers, and there are some, workers
    import for themselves from now on."""
    site, logs, listeners = generation.site, generation.logs, generation.listeners
    imports = generation.forkable and (site.rollout.overlap or not generation.workers)
    told_site = told(site, generation.metrics)
    return Boot(
        os.getpid(),
        generation.number,
        told_site if imports else msgspec.structs.replace(told_site, preload=False),
        error_log=logs.error is not None,
        access_log=logs.access is not None,
        tls=secured(listeners),
        checks=for_checks(listeners),
        proven=generation.proven,
        stacks=True,
        output=generation.pipes.output is not None,
        links=generation.release.links,
        search_path=generation.release.search_path,
        handed=site.tls.certificate is not None and becomes_another(site.user, site.group),
        growing=True,
    )
