"""The master: reacts to signals and time, lets the governor decide about workers, and carries it out.

One thread, one event loop; nothing here waits. It never imports application code (but see `superwsgi.run`).
"""

from __future__ import annotations

import os
import platform
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from setproctitle import setproctitle

from superwsgi import __version__
from superwsgi.config.schema import Site
from superwsgi.control import Outcome, Snapshot
from superwsgi.log.error import ErrorLog
from superwsgi.log.files import copy_of_stderr
from superwsgi.log.frames import application_traceback
from superwsgi.log.lines import spell_exception
from superwsgi.log.rate_limit import Complaint
from superwsgi.master.control import status
from superwsgi.master.control.commands import Commands
from superwsgi.master.control.server import Control
from superwsgi.master.eventloop import PAUSE, EventLoop
from superwsgi.master.generations.children import Children
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.launch import Launch, execute
from superwsgi.master.generations.monitor import Monitor
from superwsgi.master.generations.preparation import Preparation
from superwsgi.master.generations.release import Origin, Release
from superwsgi.master.generations.reloads import Reloads
from superwsgi.master.generations.resources import Shared
from superwsgi.master.generations.rollout import RollOut
from superwsgi.master.handover import Handover
from superwsgi.master.pidfile import PidFile, PidFileError
from superwsgi.master.policy import governor
from superwsgi.master.processes.handles import WorkerHandle
from superwsgi.master.processes.reaper import become_subreaper
from superwsgi.master.reopening import Reopening
from superwsgi.master.sockets import sockets
from superwsgi.master.sockets.binding import BindError
from superwsgi.master.sockets.inherited import Inherited
from superwsgi.master.states import GenerationEvent, WorkerEvent, WorkerState
from superwsgi.master.systemd.notify import Notifier
from superwsgi.master.systemd.report import Report
from superwsgi.master.upgrade.takeover import Taken
from superwsgi.master.upgrade.upgrade import Upgrade
from superwsgi.worker import forks

OK: Final = 0
APP_NOT_LOADED: Final = 3

ReadSite = Callable[[], Site]
"""Reads the configuration again, for HUP. Raises ConfigError."""


class Master:
    """One site, from its first generation to the end of its last process."""

    def __init__(
        self,
        site: Site,
        shared: Shared,
        read_site: ReadSite,
        launch: Launch,
        *,
        origin: Origin,
        pidfile: PidFile,
        inherited: Inherited,
        notifier: Notifier,
        site_file: str | None = None,
        taken: Taken | None = None,
    ) -> None:
        """`origin` is how this program was started; `read_site` reads `site_file`; `taken` is what an earlier
        program of this process has left."""
        self._site = site  # of the current generation
        self._shared = shared
        self._inherited = inherited
        self._pidfile = pidfile
        self._read_site = read_site
        self._site_file = site_file
        self._loop = EventLoop(self._tell)
        self._faults: dict[str, Complaint] = {}  # by what was raised
        errors = ErrorLog(
            shared.logs.copy_of_error(), site.log.level, stderr_fd=copy_of_stderr(), master=os.getpid()
        )
        self._rollout = RollOut(errors, self._loop, launch, self._settle)
        self._children = Children(self._rollout, self._loop)
        self._preparation = Preparation(self._rollout, self._children, self._loop)
        self._reopening = Reopening(self._rollout, self._loop)
        self._monitor = Monitor(
            self._rollout,
            self._loop,
            kill=self._children.kill,
            interval=lambda: self._site.monitor.interval,
        )
        self._report = Report(notifier, self._rollout, self._loop)
        self._reloads = Reloads(self._rollout, load=self._load, on_refused=self._report.reload_refused)
        commands = Commands(self, self._rollout)
        self._control = Control(self._loop, os.environ, lambda: self._errors, commands.answer)
        self._notifier = notifier
        self._launch = launch
        self._origin = origin
        self._taken = taken
        self.upgrade = Upgrade(
            self._loop, self._hold, self._children.watch, origin if launch is execute else None
        )
        self.stopping = False
        self._began = time.monotonic()

    @property
    def _errors(self) -> ErrorLog:
        return self._rollout.errors

    def run(self) -> int:
        """Serve until told to stop; returns the exit code. Raises OSError where not even a mold can start."""
        setproctitle(f"superwsgi: master [{self._site.name}]")
        become_subreaper()
        if self._launch is not execute:  # application code runs here as well, in threads of the script
            forks.begin(self._errors)
            forks.on_child(self._close_in_child)
        self._errors.start()
        try:
            return self._live()
        finally:
            self._errors.close()

    def _live(self) -> int:
        with self._loop:
            self._take_signals()
            if self._taken is not None:
                self._adopt(self._taken, time.monotonic())
            else:
                self._start(time.monotonic())
            self._monitor.begin(time.monotonic())
            self._report.begin(time.monotonic(), self._site)
            ask_at: float | None = None
            while self._rollout or self._children.strays:
                now = self._loop.turn(ask_at)
                ask_at = self._loop.guard(self._govern, now, now + PAUSE)
                self._loop.guard(lambda _: self._report.update(stopping=self.stopping), now, None)
                self._loop.guard(self._control.update, now, None)
            self._children.strays.name_programs(time.monotonic())
            self._control.end(time.monotonic())
            sockets.close(self._shared.listeners, stored=self._report.listeners_stored)
        code = APP_NOT_LOADED if self._rollout.first_failed else OK
        self._errors.info("stopped", exit_code=code)
        return code

    def _start(self, now: float) -> None:
        """Raises BindError where the control socket that the site names cannot be had, with nothing begun."""
        try:
            self._control.open(self._site)
        except BindError:
            sockets.close(self._shared.listeners)
            raise
        self._rollout.attempts.begin(now)
        self._begin(self._site, self._shared, now)

    def _begin(self, site: Site, shared: Shared, now: float) -> None:
        current = self._rollout.current
        for listener in shared.listeners:
            if current is None or listener not in current.listeners:
                self._errors.info("listening", address=listener)
        for warning in shared.warnings:
            self._errors.warning("certificate", problem=warning, next="used all the same")
        release = Release.of(site, self._origin, os.environ)
        generation = self._rollout.begin(site, release, shared, now)
        self._preparation.begin(generation, now)

    def _adopt(self, taken: Taken, now: float) -> None:
        """Go on with the processes of an earlier program of this process, then roll out what is new."""
        held = taken.handover
        if taken.control is not None:
            self._control.take(taken.control)
        self._rollout.adopt(
            taken.generations(self._origin, self._launch, self._loop), held.current, held.last_number
        )
        for generation in self._rollout:
            self._children.adopt(generation, now)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # blocked since before execve(2)
        self._children.reap(now)
        python = platform.python_version()
        self._errors.info("program replaced", version=__version__, python=python, next="reloading")
        self.reload(now)

    def _hold(self) -> Handover:
        control = self._control.listener
        return self._rollout.hold(
            self._inherited.hold(),
            self._notifier.environ,
            control.hold() if control is not None else None,
            self._pidfile.hold(),
        )

    def _settle(self, current: Generation) -> None:
        """Be the master of a generation that has become current: what there is once for all of them."""
        self._site = current.site
        setproctitle(f"superwsgi: master [{self._site.name}]")
        self._change(lambda: sockets.adapt(current.listeners, current.site))
        self._change(lambda: self._pidfile.move(current.site.pidfile))
        self._change(lambda: self._control.open(current.site))

    def _change(self, change: Callable[[], None]) -> None:
        try:
            change()
        except (BindError, PidFileError) as error:
            self._errors.error("not changed", reason=str(error), next="stays as it was")

    # Decisions.

    def _govern(self, now: float) -> float | None:
        """Let the governor decide and carry it out; returns when to ask again."""
        if self._rollout.first_failed and not self.stopping:
            self.stop(now, "the application did not load", fast=False)
        complete_at = None if self.stopping else self._rollout.step(now)
        if not self.stopping:
            self._reloads.go_on(now)
            self._preparation.go_on(now)
        if self._rollout.candidate is None and not self.stopping:
            self.upgrade.go_on(self._errors, now, self._site.timeouts.boot)
        plan = governor.decide(self._rollout.view(), now)
        failed = [self._loop.guard(partial(self._perform, action), now, True) for action in plan.actions]
        self._rollout.sweep()
        if plan.actions:
            return now + PAUSE if any(failed) else now  # what was done may allow more
        return min((when for when in (plan.ask_at, complete_at) if when is not None), default=None)

    def _perform(self, action: governor.Action, now: float) -> None:
        if isinstance(action, governor.Fork):
            target = self._rollout.target()
            if target is not None and target.can_fork():  # else its mold has become the worker before
                self._children.fork(target, action.number, now)
            return
        for generation, worker in self._with_key(action.key):
            if isinstance(action, governor.Kill):
                self._children.kill(generation, worker, action.reason, now)
            elif worker.can(WorkerEvent.DRAIN):
                self._errors.bind(**worker.who()).info("draining", reason=action.reason)
                self._children.drain(generation, worker, action.reason, now)

    def _with_key(self, key: int) -> list[tuple[Generation, WorkerHandle]]:
        """The worker that is meant, where it is there: an action before this one may have been its end."""
        return [(g, w) for g in self._rollout for w in g.workers.values() if w.key == key]

    def _tell(self, error: Exception, now: float) -> None:
        """What a reaction has raised is a bug of ours, and no reason to end a site."""
        what = spell_exception(error)
        fault = self._faults.setdefault(what, Complaint(self._complain, "error in the master"))
        fault.make(int(now * 1e9), application_traceback(error), error=what, next="the site goes on")

    def _complain(self, event: str, detail: str, **words: object) -> None:
        self._errors.error(event, detail, **words)

    # Signals.

    def _close_in_child(self) -> None:
        """In a child that the application forked."""
        self._loop.close_in_child()
        for listener in self._shared.listeners:
            listener.sock.close()

    def _take_signals(self) -> None:
        self._loop.on_signal([signal.SIGCHLD], lambda _, now: self._children.reap(now))
        self._loop.on_signal([signal.SIGTERM], lambda _, now: self.stop(now, "SIGTERM", fast=False))
        self._loop.on_signal(
            [signal.SIGINT, signal.SIGQUIT],
            lambda number, now: self.stop(now, signal.Signals(number).name, fast=True),
        )
        self._loop.on_signal([signal.SIGHUP], lambda _, now: self.reload(now))
        self._loop.on_signal([signal.SIGUSR1], lambda _, now: self._reopening.ask(now))
        self._loop.on_signal([signal.SIGTTIN], lambda _, now: self._scale(1), each=True)
        self._loop.on_signal([signal.SIGTTOU], lambda _, now: self._scale(-1), each=True)
        self._loop.on_signal([signal.SIGUSR2], lambda *_: self.upgrade.ask(self._errors))

    def stop(self, now: float, reason: str, *, fast: bool) -> None:
        """End every process below us, then ourselves. A fast stop may follow a graceful one."""
        self._errors.info("stopping", reason=reason, how="fast" if fast else "graceful")
        self._rollout.attempts.end(Outcome.STOPPED, now, "the site is being stopped")
        if self._rollout.candidate is not None and self._rollout.current is not None:
            self._rollout.withdraw(now)
        self.stopping = True
        self.upgrade.end()
        self._report.stops()
        for generation in self._rollout:
            generation.apply(GenerationEvent.RETIRE)
            generation.dismiss_mold(now)
            if fast:
                generation.hurry_mold(now, 0.0)
            lame_duck = 0.0 if fast else generation.site.timeouts.lame_duck
            self._loop.call_at(now + lame_duck, partial(self._close_listeners, generation))
            for worker in list(generation.workers.values()):
                if fast:
                    generation.end(worker, reason, now)
                elif worker.state not in (WorkerState.DRAINING, WorkerState.ENDING):
                    self._children.drain(generation, worker, reason, now)

    def _close_listeners(self, generation: Generation, _now: float) -> None:
        sockets.close(generation.listeners, stored=self._report.listeners_stored)

    def reload(self, now: float) -> int:
        """As HUP. The number of the attempt that will be the answer; where the site stops, none ever is."""
        return self._rollout.attempts.next if self.stopping else self._reloads.ask(now)

    def _load(self, now: float) -> None:
        """Read the configuration and load the application anew, beside what serves."""
        current = self._rollout.current
        assert current is not None
        site = self._read_site()
        self._pidfile.check_move(site.pidfile)
        self._control.check(site)
        shared = Shared.beside(site, self._inherited, current.listeners)
        self._errors.info("reload begun")
        self._begin(site, shared, now)

    def snapshot(self, now: float) -> Snapshot:
        """The site as it is."""
        return status.snapshot(
            self._rollout,
            name=self._site.name,
            file=self._site_file,
            began=self._began,
            stopping=self.stopping,
            now=now,
        )

    def _scale(self, difference: int) -> None:
        target = self._rollout.target()
        if target is None or self.stopping:
            return
        target.wanted = min(max(target.wanted + difference, 1), target.most_workers)
        self._errors.info("worker count changed", workers=target.wanted, next="until the next reload")
