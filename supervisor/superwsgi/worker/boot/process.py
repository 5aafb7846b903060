"""The life of a worker process, from the fork to os._exit, in its main thread.

The main thread only listens to the master (on its channel) and to signals; the loop's threads serve requests.
A worker whose master vanishes drains and ends.
"""

from __future__ import annotations

import contextlib
import faulthandler
import itertools
import os
import select
import signal
import threading
import time
from typing import NoReturn

from msgspec.structs import replace
from setproctitle import setproctitle

from superwsgi import unpatched
from superwsgi.apps.types import WSGIApp
from superwsgi.channel import Closed, OutOfDescriptors
from superwsgi.config.schema import Site
from superwsgi.files import telling
from superwsgi.log.access import AccessLog
from superwsgi.log.error import ErrorLog
from superwsgi.messages import (
    BootFailed,
    Drain,
    Grows,
    MayGrow,
    Message,
    Quarantine,
    Ready,
    Recycle,
    Reopen,
    SampleThreads,
    Spread,
    Started,
    Stop,
    TellThreads,
)
from superwsgi.system import descriptors, lineage, orphan
from superwsgi.system.signals import Signals, ignore
from superwsgi.worker import capture, forks
from superwsgi.worker.boot.exit import exit_handlers
from superwsgi.worker.boot.exit.windup import FAST, WindUp
from superwsgi.worker.boot.loading import prometheus
from superwsgi.worker.boot.loading.application import Unloadable, freeze, load_apps, reseed, tell_threads
from superwsgi.worker.boot.loading.hooks import Hook, HookedWorker, Hooks
from superwsgi.worker.boot.loading.warmup import warm_up
from superwsgi.worker.boot.start import Start
from superwsgi.worker.forks import flush_output
from superwsgi.worker.green.choosing import loop_of
from superwsgi.worker.log_files import take_log_files
from superwsgi.worker.memory.trial import LeakTrial
from superwsgi.worker.reporting import Reporting
from superwsgi.worker.serve.acceptor import Listeners
from superwsgi.worker.serve.health import Going
from superwsgi.worker.serve.loop import Loop
from superwsgi.worker.serve.upgraded.takeovers import FAREWELL
from superwsgi.worker.threads.sampler import Sampler
from superwsgi.worker.threads.thread import request_in_hand

BOOT_FAILED = 3
"""Exit code of a worker whose application did not load; the master already knows why."""

_ALL_DUMPED = 90
"""faulthandler writes the stacks of at most 100 threads. With more, that of the thread which causes a fatal
error might be missing; then it writes no other."""


def main(start: Start) -> NoReturn:
    """Be the worker, and end the process."""
    code = 1
    errors = ErrorLog(
        start.error_fd,
        start.site.log.level,
        style=start.site.log.style,
        captured=start.site.log.capture,
        stderr_fd=start.stderr_fd,
        worker=start.worker,
        gen=start.generation,
        pid=os.getpid(),
    )
    errors.know_requests(request_in_hand)
    capture.follow(errors)
    try:
        code = Worker(start, errors).live()
    except Closed:
        code = 0  # the master was gone before we could serve
    except BaseException as error:
        errors.fault("worker failed", error, next="replaced by the master")
    finally:
        errors.close()
        flush_output()
        os._exit(code)


class Worker:
    """One worker: the orders it gets, and how it carries them out."""

    def __init__(self, start: Start, errors: ErrorLog) -> None:
        self._start = start
        self._began = time.monotonic()
        self._deadline: float | None = None  # when draining ends, even with requests in hand
        self._at_once = False  # whether to end without waiting for anybody
        self._orphaned = False  # the master is gone
        self._errors = errors
        self._access = self._access_log()
        self._hooks = start.hooks
        self._asks = itertools.count()
        self._loop: Loop | None = None
        self._trial: LeakTrial | None = None  # if this thread is to judge
        self._sampler: Sampler | None = None  # of the last profile
        self._signals = Signals()
        start.board.set("pid", os.getpid())
        lineage.carry()
        forks.log_to(self._errors)
        telling.log_to(self._errors)
        forks.on_child(self._close_in_child)

    def live(self) -> int:
        """From boot to the end; returns the exit code."""
        start = self._start
        self._introduce()
        try:
            app = self._load()
        except Unloadable as error:
            return self._fail(BootFailed(error.reason, error.detail, error.locked))
        self._settle()
        self._loop = loop = self._made(app)
        try:
            self._start_threads()
        except RuntimeError:
            return self._fail(BootFailed(_too_many_threads(start.site.elastic.min)))
        # Sent first: once anything has been served, the master can know that we serve before it ends us.
        start.channel.send(Ready(time.monotonic() - self._began, samples=True, quarantines=True))
        loop.start()
        loop.obey(self._obey)
        return self._end()

    def _introduce(self) -> None:
        start = self._start
        orphan.end_with(start.master)
        start.channel.send(Started(os.getpid()))  # the master believes this only from a child of its own
        self._errors.report_to(Reporting(start.channel))  # and nothing else before it
        setproctitle(f"superwsgi: worker {start.worker} gen {start.generation} [{start.site.name}]")
        self._dump_fatal_errors()

    def _fail(self, why: BootFailed) -> int:
        self._start.channel.send(why)
        return BOOT_FAILED

    def _settle(self) -> None:
        """The application is loaded: take back what its import may have changed."""
        if self._start.worker == 1:
            tell_threads(self._errors)
        orphan.outlive()  # from now on our channel shows whether the master lives
        self._dump_fatal_errors()  # the import may have had them dumped elsewhere
        self._take_signals()

    def _made(self, app: WSGIApp) -> Loop:
        """The loop that serves it, and who judges whether a kind of request leaks."""
        start = self._start
        loop = loop_of(start.site)(
            site=self._reachable(),
            app=app,
            listeners=Listeners(start.listeners, start.secured, start.certificates, start.for_checks),
            board=start.board,
            errors=self._errors,
            access=self._access,
            on_recycle=self._ask_for_replacement,
            on_end=self._signals.wake,
        )
        loop.takeovers.on_change = self._dump_fatal_errors
        loop.put_in_quarantine(start.quarantine)
        trial = LeakTrial(loop.memory, self._offer)
        if not loop.watch(trial.fileno(), lambda: self._judge(trial)):
            self._trial = trial
        return loop

    def _reachable(self) -> Site:
        """The site, with no more connections than there are descriptors for."""
        site = self._start.site
        wanted = site.limits.connections
        connections = descriptors.provide(wanted, site.limits.upgraded)
        if connections == wanted:
            return site
        self._errors.notice(
            "limits.connections out of reach",
            connections=wanted,
            reachable=connections,
            reason="ulimit -n",
            next=f"{connections} at most",
        )
        return replace(site, limits=replace(site.limits, connections=connections))

    def _load(self) -> WSGIApp:
        """The application, from the mold or imported here, with its hooks called. Raises Unloadable."""
        start = self._start
        if start.siblings is not None:  # else it shares its application with nobody
            start.siblings.leave()
            reseed()
            prometheus.begin(start.site, self._errors)
            prometheus.make_files()
            forks.disown_children()
        if start.app is not None:
            self._call(start.hooks.after_fork)
            return start.app
        prometheus.begin(start.site, self._errors)
        app = load_apps(start.site)
        if start.worker == 1:
            prometheus.tell_if_unused(start.site, self._errors)
        self._hooks = Hooks.load(start.site)
        self._call(self._hooks.after_fork)
        warm_up(start.site, app, self._errors, required=not start.proven)
        freeze()
        return app

    def _call(self, hook: Hook | None) -> None:
        """Raises Unloadable."""
        start = self._start
        if hook is not None:
            hook(HookedWorker(start.site.name, start.generation, start.worker, os.getpid()))

    def _start_threads(self) -> None:
        """Raises RuntimeError."""
        assert self._loop is not None
        self._errors.start()
        if self._access is not None:
            self._access.start()
        self._loop.prepare()

    def _obey(self) -> None:
        """Obey the master and signals until the loop has drained or must stop."""
        assert self._loop is not None
        watched = unpatched.poll()
        watched.register(self._start.channel.fileno(), select.POLLIN)
        watched.register(self._signals.fileno(), select.POLLIN)
        trial = self._trial
        if trial is not None:
            watched.register(trial.fileno(), select.POLLIN)
        while True:
            timeout = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
            ready = [fd for fd, _ in watched.poll(None if timeout is None else timeout * 1000)]
            if not ready:
                self._end_late()
                return
            if trial is not None and trial.fileno() in ready:
                self._judge(trial)
            if self._signals.fileno() in ready and self._woken_by(self._signals.read()):
                return
            if self._start.channel.fileno() in ready and self._hear_master(watched):
                return

    def _end_late(self) -> None:
        """Draining has taken all the time that it has."""
        assert self._loop is not None
        if not (self._loop.takeovers.say_goodbye() and self._loop.join(FAREWELL)):
            then = "ends with what it has in hand"
            self._errors.warning("drain cut short", reason="timeouts.graceful is over", next=then)

    def _hear_master(self, watched: select.poll) -> bool:
        """Obey what it says; True if that is to end now. Without a master there is nothing to wait for."""
        channel = self._start.channel
        try:
            message, fds = channel.receive()
        except Closed:
            watched.unregister(channel.fileno())
            self._orphaned = True
            self._errors.notice("master vanished", next="draining")
            self._drain(0.0, self._start.site.timeouts.graceful, Going.LAST)
            return False
        except OutOfDescriptors as error:
            self._errors.error("log files not reopened", reason=str(error), next="the old ones stay")
            return False
        return self._told(message, fds)

    def _told(self, message: Message, fds: list[int]) -> bool:
        """Obey a message from the master; True if it says to end now."""
        if isinstance(message, Drain):
            going = Going.LAST if message.last else Going.RELIEVED
            self._drain(message.lame_duck, message.graceful, going)
        elif isinstance(message, Reopen):
            take_log_files(message, fds, self._errors, self._access)
        elif isinstance(message, MayGrow):
            assert self._loop is not None
            self._loop.may_grow(message.workers)
        elif isinstance(message, Quarantine):
            assert self._loop is not None
            self._loop.put_in_quarantine(message.kinds)
        elif isinstance(message, Spread):
            assert self._loop is not None
            self._loop.spread(message.seconds)
        elif isinstance(message, TellThreads):
            self._tell_threads(message)
        elif isinstance(message, SampleThreads):
            self._sample(message, fds)
        self._at_once = isinstance(message, Stop)
        return self._at_once

    def _judge(self, trial: LeakTrial) -> None:
        try:
            trial.judge()
        except Exception as error:
            self._errors.fault("error in the server", error, next="nobody is named for the growth of memory")

    def _offer(self, word: Grows) -> None:
        if self._start.growing:
            with contextlib.suppress(OSError):  # no room, no master
                self._start.channel.offer(word)

    def _tell_threads(self, message: TellThreads) -> None:
        assert self._loop is not None
        try:
            for each in self._loop.threads_at(message.question):
                self._start.channel.send(each)
        except Closed:
            pass  # as will be noticed next
        except Exception as error:
            self._errors.fault("error in the server", error, next="no answer to `superwsgi stacks`")

    def _sample(self, order: SampleThreads, fds: list[int]) -> None:
        assert self._loop is not None
        last, self._sampler = self._sampler, Sampler(order, fds[0], self._loop.serving)
        try:
            self._sampler.start(last)
        except RuntimeError as error:
            self._errors.warning("not profiled", reason=str(error), next="allow more threads (ulimit -u)")

    def _woken_by(self, numbers: bytes) -> bool:
        """Signals, by their numbers, or a zero when the loop has ended; True if the worker should end."""
        if signal.SIGTERM in numbers:
            self._drain(0.0, self._start.site.timeouts.graceful, Going.TOLD)
        self._at_once = signal.SIGQUIT in numbers
        return 0 in numbers or self._at_once

    def _drain(self, lame_duck: float, graceful: float, going: Going) -> None:
        """Let the loop drain, once; it wakes us when it is done."""
        assert self._loop is not None
        self._loop.leave(going)
        if self._deadline is None:
            self._deadline = time.monotonic() + lame_duck + graceful
            self._loop.drain(lame_duck=lame_duck)

    def _end(self) -> int:
        """Run what an ordinary exit of the interpreter would, in the time that is left."""
        assert self._loop is not None
        if self._sampler is not None:
            self._sampler.end("the worker ended", patience=0.3)
        self._loop.stop()
        windup = WindUp(self._errors, self._start.stacks_fd, self._time_left(), lambda: self._leave(0.3))
        windup.do(self._call_exit_hook, *[] if self._at_once else [windup.end_threads])
        windup.do_last(self._run_exit_handlers)
        self._leave(1.0)
        return 0

    def _time_left(self) -> float:
        """Seconds until the master expects us to be gone."""
        if self._at_once or self._deadline is None:
            return FAST
        return self._deadline - time.monotonic()

    def _run_exit_handlers(self) -> None:
        if self._start.siblings is None:
            exit_handlers.run()
        else:
            self._start.siblings.end_worker()

    def _call_exit_hook(self) -> None:
        try:
            self._call(self._hooks.worker_exit)
        except Unloadable as error:
            self._errors.error("hook failed", error.detail, reason=error.reason, next="ending anyway")

    def _leave(self, patience: float) -> None:
        """The last thing this process does. Its forked copies are ended by the master, if there is one."""
        if self._orphaned:
            lineage.end_copies()
        if self._access is not None:
            self._access.close(patience)
        self._errors.flush(patience)

    def _dump_fatal_errors(self, upgraded: int = 0) -> None:
        """While the application has so many `upgraded` connections."""
        start = self._start
        threads = start.site.native_threads + min(upgraded, start.site.upgraded_threads)
        faulthandler.enable(start.stacks_fd, all_threads=threads <= _ALL_DUMPED)

    def _take_signals(self) -> None:
        """The operator's signals: TERM drains, QUIT ends at once, USR2 writes the stacks of all threads. INT
        and HUP are for the master, although a terminal sends them to every process of its group. Called after
        the application's import, which may have set handlers: those for other signals stay."""
        faulthandler.unregister(signal.SIGUSR2)  # the mold's: register() keeps an existing registration
        ignore(
            number
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
            if signal.getsignal(number) is not signal.SIG_IGN
        )
        faulthandler.register(signal.SIGUSR2, self._start.stacks_fd)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])
        self._signals.begin()
        self._signals.take([signal.SIGTERM, signal.SIGQUIT])

    def _close_in_child(self) -> None:
        """In a child that the application forked."""
        self._errors.begin_child()
        self._start.channel.close()
        if self._sampler is not None:
            self._sampler.close_in_child()
        self._signals.close_in_child()

    def _ask_for_replacement(self, why: Recycle) -> None:
        """Ask only once, whatever reasons follow."""
        with contextlib.suppress(Closed):
            if next(self._asks) == 0:
                self._start.channel.send(why)

    def _access_log(self) -> AccessLog | None:
        start = self._start
        if start.access_fd is None:
            return None
        return AccessLog(
            start.access_fd,
            start.site.log.format,
            self._errors,
            pid=os.getpid(),
            worker=start.worker,
            generation=start.generation,
            sampled=bool(start.site.log.shares),
        )


def _too_many_threads(wanted: int) -> str:
    return (
        f"only {threading.active_count()} threads can be started, too few for threads: {wanted}; the limit "
        "is ulimit -u, pids.max of the control group, or memory for their stacks"
    )
