"""The master: one turn of its loop after another. A turn notes signals and other events, decides what follows
from them, and does it. One thread; nothing here waits.

It never imports application code (but see `superwsgi.run`).
"""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from typing import Final

import msgspec

from superwsgi import __version__, build
from superwsgi.config.schema import Site
from superwsgi.control import APP_NOT_LOADED, OK, Configuration, Outcome, Snapshot
from superwsgi.log.error import ErrorLog
from superwsgi.log.files import copy_of_stderr
from superwsgi.log.frames import application_traceback
from superwsgi.log.rate_limit import Complaint
from superwsgi.log.spelling import spell_exception
from superwsgi.master.admin.admin import Admin
from superwsgi.master.answers.judge import Judge
from superwsgi.master.companions.companions import Companions
from superwsgi.master.companions.watching import CompanionWatch
from superwsgi.master.context import MasterContext, Startup
from superwsgi.master.control import status
from superwsgi.master.control.acting import Acts, how_long
from superwsgi.master.control.commands import Commands
from superwsgi.master.control.configuration import configuration
from superwsgi.master.control.server import Control
from superwsgi.master.control.signs import condition
from superwsgi.master.eventloop import PAUSE, EventLoop
from superwsgi.master.generations.children import Children
from superwsgi.master.generations.deeds import Deeds
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.generations import Generations
from superwsgi.master.generations.held import hold
from superwsgi.master.generations.monitor import Monitor
from superwsgi.master.generations.record import Record
from superwsgi.master.generations.reload import Reloads
from superwsgi.master.generations.resources import Shared
from superwsgi.master.handover import VERSION, Handover
from superwsgi.master.incidents.incidents import Incidents
from superwsgi.master.inquiries.stacks import Inquiries
from superwsgi.master.outage.outages import Outages
from superwsgi.master.policy import governor
from superwsgi.master.policy.actions import Action
from superwsgi.master.policy.health import Condition
from superwsgi.master.processes.launch import execute
from superwsgi.master.processes.reaping import become_subreaper
from superwsgi.master.reopening import Reopening
from superwsgi.master.scaling.scaler import Scaler
from superwsgi.master.sitewide import SiteWide
from superwsgi.master.sockets import sockets
from superwsgi.master.sockets.listener import BindError
from superwsgi.master.suspects.suspects import Suspects
from superwsgi.master.systemd.report import Report
from superwsgi.master.upgrade.takeover import Taken
from superwsgi.master.upgrade.upgrade import Upgrades
from superwsgi.worker import forks

_LOOK: Final = 1.0
"""Seconds between two looks at whether control socket and pid file are still there."""


class Master:
    """One site, from its first generation until its last process has ended."""

    def __init__(self, site: Site, shared: Shared, startup: Startup, taken: Taken | None = None) -> None:
        """`taken` is what an earlier program of this process left."""
        self.stopping = False
        self._shared = shared
        self._startup = startup
        self._taken = taken
        self._faults: dict[str, Complaint] = {}  # by the text of the exception
        self._loop = loop = EventLoop(self._tell)
        self._errors = _error_log(site, shared)
        self._incidents = incidents = Incidents()
        self._errors.report_to(incidents.add)
        context = MasterContext(loop, self._errors, incidents)
        self._generations = Generations()
        self._record = Record()
        self._agenda: list[Action] = []  # decided but not done yet
        self._children = Children(context, self._generations, self._record, self._agenda)
        self._outages = Outages(context, self._generations, lambda: self.stopping)
        self._suspects = Suspects(context, self._generations)
        self._children.crashed = self._suspects.crashed
        self._deeds = Deeds(context, self._generations, self._children, self._agenda)
        self._monitor = Monitor(context, self._generations, self._agenda)
        self._companions = Companions(context, self._generations, self._children)
        self._companion_watch = CompanionWatch(context, self._companions)
        self._scaler = Scaler(context, self._generations, self._monitor.is_memory_short)
        self._judge = Judge(context, self._generations)
        self._control = Control(loop, os.environ, self._errors)
        self._admin = Admin(context, startup, self._control, self._children.watch)
        self._reopening = Reopening(context, self._generations, self._admin.reopen)
        self._sitewide = SiteWide(site, startup.pidfile, self._control, self._admin, self._errors)
        self._reloads = Reloads(
            context,
            startup,
            self._generations,
            self._record,
            self._sitewide,
            self._agenda,
            self._children.watch,
        )
        origin = startup.origin if startup.launch is execute else None
        self.upgrade = Upgrades(context, self._hold, self._children.watch, origin)
        inquiries = Inquiries(context, self._generations, self._children.dumps)
        known = self._generations, self._record
        self._report = Report(startup.notifier, *known, loop, self._condition, self._companions)
        acts = Acts(context, *known, self._reopening, self._companions, self._agenda, lambda: self.stopping)
        commands = Commands(self, *known, self._reloads, inquiries, acts, context)
        self._control.answer_by(commands)
        self._began = time.monotonic()

    def run(self) -> int:
        """Serve until told to stop; returns the exit code. Raises OSError if not even a first generation can
        be made."""
        self._sitewide.take_title()
        become_subreaper()
        if self._startup.launch is not execute:  # application code runs here too, in threads of the script
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
            self._begin(time.monotonic())
            ask_at: float | None = time.monotonic()
            while self._generations or self._companions or self._children.strays or self._admin.lives:
                ask_at = self._turn(ask_at)
            self._admin.close()
            self._children.strays.name_programs(time.monotonic())
            self._control.finish(time.monotonic())
            sockets.close(self._shared.listeners, stored=self._report.listeners_stored)
        code = APP_NOT_LOADED if self._reloads.first_failed else OK
        self._errors.info("stopped", exit_code=code)
        return code

    def _begin(self, now: float) -> None:
        """Raises BindError if the control socket that the site names cannot be bound, with nothing begun."""
        if self._taken is not None:
            self._adopt(self._taken, now)
        else:
            self._start(now)
        self._monitor.begin(now, self._taken.handover.shortage if self._taken is not None else None)
        self._suspects.begin(now)
        self._companion_watch.begin(now)
        self._scaler.look(now)
        self._outages.begin(now, self._taken.handover.outage if self._taken is not None else None)
        self._judge.begin(now, self._taken.handover.past if self._taken is not None else ())
        self._look(now)
        self._report.starts(now, self._sitewide.site)

    def _look(self, now: float) -> None:
        """At what the site needs once, now and from now on."""
        self._loop.call_at(now + _LOOK, self._look)
        self._sitewide.look(now)
        self._startup.metrics.look()

    def _start(self, now: float) -> None:
        try:
            self._control.open(self._sitewide.site)
            self._admin.settle(self._sitewide.site)
        except BindError:
            sockets.close(self._shared.listeners)
            raise
        self._reloads.start(self._shared, now)

    def _adopt(self, taken: Taken, now: float) -> None:
        """Continue with the processes of an earlier program of this process, then roll out what is new."""
        held = taken.handover
        self._incidents.adopt(held.incidents, held.events)
        self._record.reloads.update(held.reloads)
        if taken.control is not None:
            self._control.adopt(taken.control)
        adopted = taken.generations(self._startup.origin, self._startup.launch, self._loop)
        self._generations.adopt(adopted, held.current, held.last_number)
        if held.totals is not None:
            self._generations.totals.restore(held.totals)
        if held.suspects is not None:
            self._suspects.adopt(held.suspects, held.current, held.last_number + 1)
        for generation in self._generations:
            generation.pipes.tell(self._errors, generation.number)
            self._children.adopt(generation, now)
        self._admin.adopt(held.admin, now)
        self._companions.adopt(held.companions)
        self._loop.guard(lambda _: self._admin.settle(self._sitewide.site), now, None)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # blocked since before execve(2)
        self._children.reap(now)
        python = build.python()
        self._errors.info("program replaced", version=__version__, python=python, next="reloading")
        self.reload(now)

    def _hold(self) -> Handover:
        """Everything that the next program of this process needs. Not while there is a candidate."""
        now = time.monotonic()
        current, control = self._generations.current, self._control.listener
        assert current is not None
        assert self._generations.candidate is None
        return Handover(
            version=VERSION,
            current=current.number,
            last_number=self._generations.last_number,
            generations=[hold(generation) for generation in self._generations],
            given=self._startup.inherited.hold(),
            environ=self._startup.notifier.environ,
            control=control.hold() if control is not None else None,
            pidfile=self._startup.pidfile.hold(),
            shortage=self._monitor.shortage,
            incidents=self._incidents.hold(),
            totals=self._generations.totals.hold(),
            events=self._incidents.events,
            reloads=self._record.reloads,
            admin=self._admin.hold(),
            metrics=self._startup.metrics.hold(),
            suspects=self._suspects.hold(now),
            companions=self._companions.hold(),
            outage=self._outages.outage,
            past=self._judge.hold(now),
        )

    # A turn: note what has happened, decide what follows, do it; then report it.

    def _turn(self, ask_at: float | None) -> float | None:
        """Wait for events, until `ask_at` at most; returns when to turn again even if nothing happens."""
        now = self._loop.turn(ask_at)
        ask_at = self._loop.guard(self._govern, now, now + PAUSE)
        ask_at = _sooner(ask_at, self._loop.guard(self._companions.go_on, now, now + PAUSE))
        self._loop.guard(self._children.look_for_strays, now, None)
        self._loop.guard(self._suspects.update, now, None)
        self._loop.guard(lambda now: self._report.update(now, stopping=self.stopping), now, None)
        self._loop.guard(self._control.update, now, None)
        if not self._generations and not self._companions:  # it shows the stop until the end
            self._loop.guard(self._admin.finish, now, None)
        return ask_at

    def _govern(self, now: float) -> float | None:
        """Decide and act; returns when to ask again."""
        complete_at = self._go_on(now)
        plan = self._plan(now)
        failed = [self._loop.guard(partial(self._deeds.do, action), now, True) for action in plan.actions]
        self._generations.sweep()
        if plan.actions:
            return now + PAUSE if any(failed) else now  # the deeds may allow more
        if self._generations.candidate is None and not self.stopping:
            self.upgrade.go_on(now, self._sitewide.site.timeouts.boot)
        return min((when for when in (plan.ask_at, complete_at) if when is not None), default=None)

    def _go_on(self, now: float) -> float | None:
        """Continue a reload, or handle its failure; returns when to ask again."""
        self._reloads.give_up_failed(now)
        if self._reloads.first_failed and not self.stopping:
            self.stop(now, "the application did not load", fast=False)
        return None if self.stopping else self._reloads.go_on(now)

    def _plan(self, now: float) -> governor.Plan:
        """The agenda, or if that is empty, what the governor decides."""
        agenda, self._agenda[:] = tuple(self._agenda), ()
        return governor.Plan(agenda, None) if agenda else governor.decide(self._generations.view(), now)

    def _tell(self, error: Exception, now: float) -> None:
        """Log an exception from a callback: it is a bug of ours, and no reason to end a site."""
        what = spell_exception(error)
        fault = self._faults.setdefault(what, Complaint(self._errors.error, "error in the master"))
        fault.make(int(now * 1e9), application_traceback(error), error=what, next="the site keeps running")

    # What an operator may ask for, by signal or over the control socket.

    def _take_signals(self) -> None:
        on = self._loop.on_signal
        on([signal.SIGCHLD], lambda _, now: self._children.reap(now))
        on([signal.SIGTERM], lambda _, now: self.stop(now, "SIGTERM", fast=False))
        on(
            [signal.SIGINT, signal.SIGQUIT],
            lambda number, now: self.stop(now, signal.Signals(number).name, fast=True),
        )
        on([signal.SIGHUP], lambda _, now: self.reload(now))
        on([signal.SIGUSR1], lambda _, now: self._reopening.ask(now))
        on([signal.SIGTTIN], lambda _, now: self._scale(1), each=True)
        on([signal.SIGTTOU], lambda _, now: self._scale(-1), each=True)
        on([signal.SIGUSR2], lambda *_: self.upgrade.ask())

    def reload(self, now: float) -> int:
        """As HUP. The number of the attempt that will be the answer; if the site stops, none ever is."""
        return self._record.next if self.stopping else self._reloads.ask(now)

    def stop(self, now: float, reason: str, *, fast: bool) -> None:
        """End all our processes, then ourselves. A fast stop may follow a graceful one."""
        self._errors.info("stopping", reason=reason, how="fast" if fast else "graceful")
        self._record.end(Outcome.STOPPED, now, "the site is being stopped")
        if self._generations.candidate is not None and self._generations.current is not None:
            self._reloads.withdraw(now)
        self.stopping = True
        self._admin.stop()
        self.upgrade.call_off()
        self._companions.stop(reason, now, fast=fast)
        self._report.stops()
        for generation in self._generations:
            self._deeds.stop(generation, reason, now, fast=fast)
            lame_duck = 0.0 if fast else generation.site.timeouts.lame_duck
            self._loop.call_at(now + lame_duck, partial(self._close_listeners, generation))

    def _close_listeners(self, generation: Generation, _now: float) -> None:
        sockets.close(generation.listeners, stored=self._report.listeners_stored)

    @property
    def name(self) -> str:
        """The site's."""
        return self._sitewide.site.name

    def snapshot(self, now: float, *, requests: bool = False, pss: bool = False) -> Snapshot:
        """The site as it is, with the `requests` that run if they are wanted; from now on with the `pss` of
        its workers, if that is wanted."""
        if pss:
            self._monitor.want_pss(now)
        snapshot = status.snapshot(
            self._generations,
            self._record,
            self._incidents,
            self._condition(now),
            name=self.name,
            file=self._startup.site_file,
            began=self._began,
            requests=requests,
            now=now,
        )
        return msgspec.structs.replace(
            snapshot,
            admin=self._admin.status(),
            suspects=self._suspects.status(now),
            companions=self._companion_watch.status(now),
        )

    def configuration(self, *, compare: bool) -> Configuration:
        """The configuration that runs; if it is to `compare`, with what a reload would change."""
        return configuration(self._generations, self._startup, compare=compare)

    def _condition(self, now: float) -> Condition:
        return condition(
            self._generations,
            self._record,
            self._monitor.short_now(),
            stopping=self.stopping,
            now=now,
            quarantine=self._suspects.quarantine(now),
            companions=self._companion_watch.signs(now),
            outage=self._outages.reason(now),
        )

    def _scale(self, difference: int) -> None:
        target = self._generations.target()
        if target is None or self.stopping:
            return
        before = target.wanted
        workers = target.numbers.pin(before + difference)
        reason = "SIGTTIN" if difference > 0 else "SIGTTOU"
        self._errors.info(
            "worker count changed", workers=workers, before=before, reason=reason, next=how_long(target)
        )

    def _close_in_child(self) -> None:
        """In a child that the application forked."""
        self._loop.close_in_child()
        for listener in self._shared.listeners:
            listener.sock.close()


def _sooner(one: float | None, other: float | None) -> float | None:
    return min((when for when in (one, other) if when is not None), default=None)


def _error_log(site: Site, shared: Shared) -> ErrorLog:
    return ErrorLog(
        shared.logs.copy_of_error(),
        site.log.level,
        style=site.log.style,
        stderr_fd=copy_of_stderr(),
        master=os.getpid(),
    )
