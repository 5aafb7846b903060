"""A new generation, from the request until it serves for good or is given up, top to bottom: asked for,
loaded beside the current one, rolled out, confirmed. A first start is the same, with nothing to go back to.

The loop never waits: `ask` is an event, `go_on` takes any step that is due. deeds.py starts molds and
exchanges workers; children.py notes in a candidate why it failed.
"""

from __future__ import annotations

import dataclasses
import os
from functools import partial
from typing import Final

from superwsgi.config.errors import ConfigError
from superwsgi.config.schema import Site
from superwsgi.config.surprises import surprises
from superwsgi.control import Outcome
from superwsgi.log.files import LogTargetError
from superwsgi.log.spelling import duration, ending, spell_exception
from superwsgi.master.context import MasterContext, Startup, check_command
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.generations import Generations, only_in
from superwsgi.master.generations.record import Record
from superwsgi.master.generations.resources import LogFiles, Opening, Shared
from superwsgi.master.pidfile import PidFileError
from superwsgi.master.policy import governor
from superwsgi.master.policy.actions import Action, StartMold
from superwsgi.master.policy.death import crash_loop
from superwsgi.master.processes.launch import environ_of_commands
from superwsgi.master.processes.program import Program, Result, WatchProcess
from superwsgi.master.release import Release
from superwsgi.master.sitewide import SiteWide
from superwsgi.master.sockets import sockets
from superwsgi.master.sockets.listener import BindError
from superwsgi.master.states import GenerationEvent, GenerationState
from superwsgi.metrics.folder import elsewhere
from superwsgi.system import privileges
from superwsgi.system.privileges import PrivilegeError
from superwsgi.tls.interface import CertificateError

_UNUSABLE: Final = (ConfigError, CertificateError, PrivilegeError, PidFileError, BindError)
"""Errors that make a configuration unusable."""

_SHELL: Final = "/bin/sh"

_NOT_IN_METRICS: Final = "/metrics has none of the application's"

_YET_TO_LOAD: Final = (GenerationState.PREPARING, GenerationState.WAITING, GenerationState.LOADING)


class Reloads:
    """At most one at a time; a further request is noted, or replaces it.

    It puts what is to be done to processes on the `agenda`; `watch` takes other programs that it runs.
    """

    def __init__(
        self,
        context: MasterContext,
        startup: Startup,
        generations: Generations,
        record: Record,
        sitewide: SiteWide,
        agenda: list[Action],
        watch: WatchProcess,
    ) -> None:
        self.first_failed = False
        self._loop = context.loop
        self._errors = context.errors
        self._startup = startup
        self._generations = generations
        self._record = record
        self._sitewide = sitewide
        self._agenda = agenda
        self._watch = watch
        self._noted = False
        self._began = 0.0
        self._rolled_out_at: float | None = None  # since when only the candidate takes requests

    # A reload is asked for.

    def start(self, shared: Shared, now: float) -> None:
        """Start the first generation, with what has been opened already. Raises OSError."""
        self._record.begin(now, start=True)
        self._add(self._sitewide.site, shared, now)

    def ask(self, now: float) -> int:
        """Begin a reload, or remember to. Returns the number of the attempt that will be the answer."""
        self._confirm(now)
        candidate = self._generations.candidate
        if candidate is None:
            self._begin(now)
        elif candidate.state not in _YET_TO_LOAD:
            return self._note(candidate)
        elif self._generations.current is not None:
            self._supersede(candidate, now)
        return self._record.newest  # if still starting, the version on the disk is already loading

    def _note(self, candidate: Generation) -> int:
        self._noted = True
        then = f"begins when the roll-out of generation {candidate.number} ends"
        self._errors.info("reload noted", next=then)
        return self._record.next

    def _supersede(self, candidate: Generation, now: float) -> None:
        self._errors.info("reload given up", gen=candidate.number, reason="another one was requested")
        self._record.end(Outcome.SUPERSEDED, now)
        self.withdraw(now)
        self._begin(now)

    # The configuration is read, and what it names is opened.

    def _begin(self, now: float) -> None:
        self._noted = False
        self._record.begin(now)
        try:
            self._load(now)
        except _UNUSABLE as error:
            self._refuse(str(error), now, self._more())
        except OSError as error:
            self._refuse(str(error), now)
        except Exception as error:  # a bug of ours, logged as one by the loop
            self._refuse(spell_exception(error), now)
            raise

    def _load(self, now: float) -> None:
        current = self._generations.current
        assert current is not None
        site = self._startup.read_site()
        self._sitewide.check(site)
        shared = Shared.beside(site, self._startup.inherited, current.listeners)
        self._errors.info("reload begun")
        self._add(site, shared, now)

    def _refuse(self, why: str, now: float, more: str = "") -> None:
        reason, _, detail = why.partition("\n")
        self._record.failed(Outcome.REFUSED, now, reason, detail)
        self._errors.error("reload refused", why, next=self._goes_on() + more)

    def _more(self) -> str:
        """How to find out what else is wrong with the site file."""
        file = self._startup.site_file
        return "" if file is None else f"; for all that is wrong: {check_command(file)}"

    def _add(self, site: Site, shared: Shared, now: float) -> None:
        """Raises OSError, with nothing left behind."""
        current = self._generations.current
        for listener in shared.listeners:
            if current is None or listener not in current.listeners:
                only = {"only": "health checks"} if listener.checks else {}
                self._errors.info("listening", address=listener, **only)
        for warning in shared.warnings:
            self._errors.notice("certificate", problem=warning, next="used anyway")
        for surprise in surprises(site):
            self._errors.notice("site file", problem=surprise, next="done all the same")
        candidate = self._made(site, shared)
        self._generations.add(candidate)
        self._record.generation(candidate.number)
        self._began, self._rolled_out_at = now, None
        self._prepare(candidate, now)

    def _made(self, site: Site, shared: Shared) -> Generation:
        number = self._generations.next_number()
        release = Release.of(site, self._startup.origin, os.environ)
        shared = dataclasses.replace(shared, metrics=self._metrics_of(site))
        try:
            candidate = Generation(number, site, release, shared, self._startup.launch, self._loop)
        except OSError:
            current = self._generations.current
            shared.give_up(current.listeners if current is not None else ())
            raise
        candidate.pipes.tell(self._errors, number)
        if self._generations.current is not None:
            candidate.numbers.succeed(self._generations.current.numbers)
        return candidate

    def _metrics_of(self, site: Site) -> str | None:
        """The folder for the application's metrics, if it is to have one. None is no reason not to serve."""
        if not site.metrics.app:
            return None
        variable = elsewhere(site, os.environ)
        if variable is not None:
            reason = f"{variable} is set already, and is left as it is"
            self._errors.notice("no application metrics", reason=reason, next=_NOT_IN_METRICS)
            return None
        try:
            folder, problem = self._startup.metrics.prepare(site)
        except (OSError, PrivilegeError) as error:
            reason = f"no folder for them: {error}"
            self._errors.warning("no application metrics", reason=reason, next=_NOT_IN_METRICS)
            return None
        if problem:
            then = "superwsgi_app_left_out counts the others"
            self._errors.warning("application metrics left out", reason=problem, next=then)
        return folder

    # Its log files are opened, which a disk may hold up; then the command in `rollout.before` runs.

    def _prepare(self, candidate: Generation, now: float) -> None:
        if candidate.logs.opened:
            self._run_before(candidate, now)
            return
        try:
            Opening(self._loop, candidate.logs.settings, partial(self._logs_opened, candidate))
        except (OSError, RuntimeError) as error:
            candidate.spoil(f"log files cannot be opened: {error}", aloud=True)
            return
        self._loop.call_at(now + candidate.site.timeouts.boot, lambda _: self._check_opened(candidate))

    def _logs_opened(self, candidate: Generation, result: LogFiles | LogTargetError, now: float) -> None:
        if candidate.is_leaving():  # given up meanwhile
            if isinstance(result, LogFiles):
                result.close()
        elif isinstance(result, LogFiles):
            candidate.logs.switch_to(result)
            self._run_before(candidate, now)
        else:
            candidate.spoil(f"log: {result}", aloud=True)

    def _check_opened(self, candidate: Generation) -> None:
        if not candidate.is_leaving() and not candidate.logs.opened:
            late = duration(candidate.site.timeouts.boot)
            reason = f"log files were not opened after {late} (timeouts.boot): does their disk hang?"
            candidate.spoil(reason, aloud=True)

    def _run_before(self, candidate: Generation, now: float) -> None:
        if candidate.site.rollout.before is None:
            candidate.apply(GenerationEvent.PREPARED)
            self._make_room(now)
            return
        program = Program(self._loop, self._watch, lambda result, at: self._prepared(candidate, result, at))
        try:
            pid = _start_before(program, candidate, now)
        except (OSError, PrivilegeError) as error:
            candidate.spoil(f"rollout.before cannot be run: {error}")
            return
        candidate.run_first(program)
        log = self._errors.bind(gen=candidate.number)
        log.info("rollout.before begun", command=candidate.site.rollout.before, pid=pid)

    def _prepared(self, candidate: Generation, result: Result, now: float) -> None:
        candidate.run_first(None)
        if candidate.state is not GenerationState.PREPARING:
            return  # given up meanwhile
        said = "\n".join(result.lines)
        failure = _why_failed(candidate.site, result)
        if failure:
            candidate.spoil(failure, said)
            return
        self._errors.bind(gen=candidate.number).info("rollout.before done", said)
        candidate.apply(GenerationEvent.PREPARED)
        self._make_room(now)

    # With `rollout.overlap: no` all other processes of the site must be gone before the application is
    # loaded, and before a generation that had made room for one that failed is started again.

    def _make_room(self, now: float) -> None:
        generations = self._generations
        waiting = generations.candidate or generations.current
        if waiting is None or waiting.state is not GenerationState.WAITING:
            return
        beside = waiting is generations.candidate and waiting.site.rollout.overlap
        if waiting is generations.candidate and not beside:
            self._clear_current(now)
        if beside or generations.all_clear():
            self._start(waiting)

    def _clear_current(self, now: float) -> None:
        current = self._generations.current
        if current is not None and current.state is not GenerationState.WAITING:
            current.clear(now)
            then = "the next one starts once it is gone; clients wait"
            self._errors.info("making room", gen=current.number, reason="rollout.overlap: no", next=then)

    def _start(self, generation: Generation) -> None:
        generation.apply(GenerationEvent.START)
        if generation.mold is None:
            self._agenda.append(StartMold(generation.number))
        else:
            generation.apply(GenerationEvent.LOADED)  # it has stayed

    # Its workers take over; then it is kept under observation for `rollout.confirm` seconds.

    def go_on(self, now: float) -> float | None:
        """Take the steps that are due; returns when to ask again."""
        complete_at = self._roll_out(now)
        if self._noted and self._generations.candidate is None:
            self._begin(now)
        self._make_room(now)
        return now if self._is_spoilt() else complete_at

    def _is_spoilt(self) -> bool:
        """Whether the candidate has failed, and is to be given up."""
        candidate = self._generations.candidate
        return candidate is not None and candidate.fault is not None

    def _roll_out(self, now: float) -> float | None:
        candidate = self._generations.candidate
        if candidate is None:
            return None
        if self._generations.current is None:
            if candidate.proven:
                self._promote(now)
            return None
        if self._generations.target() is not candidate or not governor.rolled_out(self._generations.view()):
            return None
        if self._rolled_out_at is None:
            self._rolled_out_at = now
            keeps = f"the old generation is kept for {duration(candidate.site.rollout.confirm)}"
            self._errors.info("rolled out", gen=candidate.number, next=keeps)
        complete_at = self._rolled_out_at + candidate.site.rollout.confirm
        if now < complete_at:
            return complete_at
        self._promote(now)
        return None

    @property
    def rolled_out(self) -> bool:
        """Whether only the confirmation of the candidate is left."""
        return self._rolled_out_at is not None

    def _confirm(self, now: float) -> None:
        """Confirm a candidate whose workers all serve ahead of time: the next one is on its way."""
        if self.rolled_out and governor.rolled_out(self._generations.view()):
            self._promote(now)

    def _promote(self, now: float) -> None:
        """The candidate takes over for good, and the generation before it retires."""
        self._rolled_out_at = None
        current, before_it = self._generations.promote()
        self._record.complete(now)
        current.logs.lead(self._errors)
        self._sitewide.settle(current)
        if before_it is not None:
            before_it.retire(now)
            sockets.give_up(only_in(before_it, current))
            self._errors.info("reload complete", gen=current.number, took=duration(now - self._began))

    # Or it is given up, and the current generation goes on serving.

    def give_up_failed(self, now: float) -> None:
        """Give up a candidate that has failed."""
        candidate = self._generations.candidate
        if candidate is None or candidate.fault is None:
            return
        fault = candidate.fault
        served = candidate.state is GenerationState.SERVING
        outcome = Outcome.ROLLED_BACK if served else Outcome.FAILED
        self._record.failed(outcome, now, fault.reason, fault.detail)
        self.withdraw(now)
        if self._generations.current is None:
            self.first_failed = True
            event, who, then = "application did not load", {}, "stopping"
        else:
            event, who, then = "reload failed", {"gen": candidate.number}, self._goes_on()
        say = self._errors.alarm if fault.aloud else self._errors.error
        say(event, fault.detail, **who, **fault.about, reason=fault.reason, next=then)

    def withdraw(self, now: float) -> None:
        """Take the candidate back; workers of the current generation replace those that serve."""
        self._rolled_out_at = None
        candidate = self._generations.withdraw()
        candidate.give_up(now)
        current = self._generations.current
        if current is not None:
            current.numbers.resume(candidate.numbers)
            sockets.close(only_in(candidate, current))

    def _goes_on(self) -> str:
        """What happens to the current generation when the next one fails."""
        current = self._generations.current
        assert current is not None
        if current.state is GenerationState.WAITING:
            return f"generation {current.number} is started again"
        dies = crash_loop(current.crashes.early)
        return f"generation {current.number} {'stays, and its workers die' if dies else 'goes on serving'}"


# The command in `rollout.before` runs in the release of the candidate, with the site's user and environment.


def _start_before(program: Program, candidate: Generation, now: float) -> int:
    """Start it; returns its process id. Raises OSError, PrivilegeError."""
    site = candidate.site
    command = [_SHELL, "-c", str(site.rollout.before)]
    become = partial(privileges.drop, site.user, site.group, site.umask)
    environ = environ_of_commands(site, candidate.release)
    return program.start(command, environ, now, site.timeouts.boot, folder=site.chdir, become=become)


def _why_failed(site: Site, result: Result) -> str:
    """Why the command failed; empty if it did not."""
    if result.code == 0:
        return ""
    how = f"ended with {ending(result.code)}"
    if result.late:
        how = f"did not finish within {duration(site.timeouts.boot)} (timeouts.boot)"
    return f"rollout.before {how}: {site.rollout.before}"
