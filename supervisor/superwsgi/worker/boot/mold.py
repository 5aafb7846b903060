"""The mold's process: loads the application if `preload` says so, and forks workers on request.

Single-threaded; it talks only to the master, over its channel, and ends when the master closes that.
Workers are double-forked (fork(2)): the process in between ends at once, so the worker becomes a child of the
nearest child subreaper above, which is the master.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Sequence
from itertools import compress
from typing import NoReturn

from setproctitle import setproctitle

from superwsgi import extras, unpatched
from superwsgi.apps import patching
from superwsgi.apps.types import WSGIApp
from superwsgi.board.scoreboard import Scoreboard
from superwsgi.channel import CHANNEL_FD, Channel, Closed, OutOfDescriptors
from superwsgi.config.schema import Site
from superwsgi.log import files
from superwsgi.log.error import ErrorLog
from superwsgi.log.spelling import spell_exception
from superwsgi.log.writer import Sink
from superwsgi.messages import (
    Become,
    Boot,
    Fork,
    ForkFailed,
    Loaded,
    LoadFailed,
    Relisten,
    Reopen,
    Tried,
    Unforkable,
)
from superwsgi.system import lineage, orphan, signals
from superwsgi.tls import interface
from superwsgi.tls.interface import CertificateError, Certificates
from superwsgi.worker import capture, forks, hazards
from superwsgi.worker.boot import handed, process
from superwsgi.worker.boot.exit import exit_handlers
from superwsgi.worker.boot.exit.windup import WindUp
from superwsgi.worker.boot.loading import prometheus
from superwsgi.worker.boot.loading.application import Unloadable, freeze, load_apps, require, settle
from superwsgi.worker.boot.loading.hooks import HookedWorker, Hooks
from superwsgi.worker.boot.loading.trying import try_out
from superwsgi.worker.boot.loading.warmup import warm_up
from superwsgi.worker.boot.start import Start
from superwsgi.worker.forks import flush_output
from superwsgi.worker.log_files import take_log_files
from superwsgi.worker.reporting import Reporting

_MASTERS = (
    *(signal.SIGINT, signal.SIGHUP),  # a terminal sends them to its whole foreground group
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU),
)
"""Signals to which only the master reacts."""


def main() -> NoReturn:
    """The program of a freshly executed mold."""
    try:
        os.set_inheritable(CHANNEL_FD, False)
    except OSError:  # executed again, as the reloaders of development servers do
        sys.exit("superwsgi: a mold was executed again; does the module call app.run(debug=True)?")
    begin(Channel(unpatched.Socket(fileno=CHANNEL_FD)))


def is_program() -> bool:
    """Whether this process was executed as a mold, or was forked from such a process."""
    return getattr(sys.modules["__main__"], "main", None) is main


def begin(
    channel: Channel,
    app: WSGIApp | None = None,
    found: Sequence[str] = (),
    private: Iterable[int] = (),
) -> NoReturn:
    """Be a mold, and end the process, whatever threads the application left in it.

    A forked mold has `app` already, and it is too late to avoid the fork hazards that were `found` in the
    script. It closes the descriptors that are `private` to the master.
    """
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for fd in private:
            unpatched.close(fd)
        _serve(channel, app, found)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        flush_output()
        os._exit(code)


def _serve(channel: Channel, app: WSGIApp | None, already: Sequence[str]) -> None:
    began = time.monotonic()
    signals.ignore(_MASTERS)
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    message, fds = channel.receive()
    assert isinstance(message, Boot)
    mold = Mold(channel, message, fds, app)
    with contextlib.suppress(Closed):
        if message.try_out:
            channel.send(mold.try_out(began))
        else:
            _work(channel, mold, app is None and message.site.preload == "auto", already, began)
    mold.end()


def _work(channel: Channel, mold: Mold, may_be_alone: bool, already: Sequence[str], began: float) -> None:
    """Load, and serve the master. Raises Closed."""
    try:
        found = [*already, *mold.load()]
    except Unloadable as error:
        channel.send(LoadFailed(error.reason, error.detail, error.locked))
        return
    took = time.monotonic() - began
    channel.send(Unforkable(found, took) if found and may_be_alone else Loaded(took, found))
    try:
        mold.serve()
    except OutOfDescriptors as error:  # of no use any more; the next one begins without what it has open
        channel.send(LoadFailed(f"it cannot fork: {error}"))


class Mold:
    """One generation's mold."""

    def __init__(self, channel: Channel, boot: Boot, fds: Sequence[int], app: WSGIApp | None) -> None:
        self._channel = channel
        self._master = boot.master
        self._site = boot.site
        self._generation = boot.generation
        self._proven = boot.proven
        self._growing = boot.growing
        self._links = boot.links
        self._search_path = boot.search_path
        self._app = app
        self._lent = app is not None  # by the script that runs us, which ends by itself
        self._hooks = Hooks()
        board, *rest = fds
        self._board = _attached(board, boot.site)
        there = (boot.error_log, boot.access_log, boot.stacks, boot.output, boot.handed)
        fd_or_none = (rest.pop(0) if each else None for each in there)
        self._error_fd, self._access_fd, stacks_fd, output_fd, self._handed = fd_or_none
        self._stderr_fd = files.copy_of_stderr()
        self._errors = self._error_log(captured=output_fd is not None)
        self._errors.report_to(Reporting(channel))
        self._stacks_fd = self._errors.descriptor() if stacks_fd is None else stacks_fd
        self._take_listeners(rest, boot.tls, boot.checks)
        self._certificates: Certificates | None = None
        self._siblings: exit_handlers.Siblings | None = None  # if it imported for its workers
        self._has_forked = False
        if output_fd is not None:
            capture.begin(self._errors, output_fd)
        lineage.carry()
        forks.begin(self._errors)
        forks.on_child(self._close_in_child)

    def _error_log(self, *, captured: bool) -> ErrorLog:
        log = self._site.log
        return ErrorLog(
            self._error_fd,
            log.level,
            style=log.style,
            captured=captured,
            stderr_fd=self._stderr_fd,
            mold=os.getpid(),
            gen=self._generation,
        )

    def _take_listeners(self, fds: Sequence[int], tls: Sequence[bool], checks: Sequence[bool]) -> None:
        self._listeners = [unpatched.Socket(fileno=fd) for fd in fds]
        self._secured = frozenset(compress(self._listeners, tls))
        self._for_checks = frozenset(compress(self._listeners, checks))

    def load(self) -> list[str]:
        """Take the user and working folder of the site file, and import what it wants imported here.

        Returns the resulting fork hazards. Raises Unloadable.
        """
        self._settle()
        self._patch()
        found = self._preload() if self._app is None and self._site.preload else []
        if self._app is not None:
            self._siblings = exit_handlers.Siblings(removing=not self._lent)
        freeze()
        orphan.outlive()  # from now on our channel shows whether the master lives
        return found

    def try_out(self, began: float) -> Tried | LoadFailed:
        """As `load`, for a check, since then (monotonic seconds): all that fails is told."""
        try:
            self._settle()
            self._patch()
        except Unloadable as error:
            return LoadFailed(error.reason, error.detail, error.locked)
        tried = try_out(self._site, self._errors, began)
        orphan.outlive()
        return tried

    def _patch(self) -> None:
        """Raises Unloadable."""
        require(extras.GREEN, self._site)
        if self._site.green:
            try:
                patching.patch()
            except Exception as error:  # it does not fit this Python, or what it needs is missing
                raise Unloadable(f"green: gevent does not load: {spell_exception(error)}") from None
            from superwsgi.worker.green import event_loops  # where gevent is installed

            event_loops.give_each_greenlet_its_own()

    def _settle(self) -> None:
        """Raises Unloadable."""
        setproctitle(f"superwsgi: mold {self._generation} [{self._site.name}]")
        faulthandler.enable(self._stacks_fd)
        faulthandler.register(signal.SIGUSR2, self._stacks_fd)  # its workers' too, until they serve
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])  # blocked since execve(2)
        self._certificates = _certificates(self._site, self._handed)
        settle(self._site, self._links, self._search_path)
        orphan.end_with(self._master)

    def _preload(self) -> list[str]:
        prometheus.begin(self._site, self._errors, importing=True)
        before = hazards.now()
        with hazards.recorded() as places:
            self._app = load_apps(self._site)
            self._hooks = Hooks.load(self._site)
            warm_up(self._site, self._app, self._errors, required=not self._proven)
        found = hazards.examine(before, places)
        prometheus.tell_if_unused(self._site, self._errors)
        if not found or self._site.preload is True:  # it will be forked
            prometheus.remove_files()
            prometheus.count(self._site)
        return found

    def serve(self) -> None:
        """Fork what the master asks for. Raises Closed once the master is gone, OutOfDescriptors."""
        while True:
            message, fds = self._channel.receive()
            if isinstance(message, Fork):
                self._fork(message, fds)
            elif isinstance(message, Become):
                self._become(message, fds)
            elif isinstance(message, Relisten):
                for listener in self._listeners:
                    listener.close()
                self._take_listeners(fds, message.tls, message.checks)
            elif isinstance(message, Reopen):
                access = None if self._access_fd is None else Sink(self._access_fd)
                take_log_files(message, fds, self._errors, access)

    def end(self) -> None:
        """Run what the interpreter would at its exit; once workers have been forked, only what they left to
        the mold, and only when they are gone."""
        alone = not self._lent if self._siblings is None else self._siblings.outlast()
        windup = WindUp(self._errors, self._stacks_fd, self._site.timeouts.graceful, lambda: None)
        if alone and self._has_forked:
            windup.do_last(exit_handlers.run_removers)
        elif alone:
            windup.do(windup.end_threads)
            windup.do_last(exit_handlers.run)
        prometheus.leave_nothing()
        prometheus.count(self._site)

    def _close_in_child(self) -> None:
        """In a child that the application forked, here or in a worker."""
        self._errors.begin_child()
        self._channel.close()
        for listener in self._listeners:
            listener.close()
        if self._access_fd is not None:
            unpatched.close(self._access_fd)
        faulthandler.unregister(signal.SIGUSR2)
        self._leave_stacks()
        self._board.close()
        if self._siblings is not None:
            self._siblings.close_in_child()

    def _leave_stacks(self) -> None:
        """In a child that the application forked: faulthandler keeps using the descriptor's number, and must
        not write into whatever gets that number next."""
        own = self._errors.descriptor()
        if own != self._stacks_fd:
            os.dup2(own, self._stacks_fd, inheritable=False)

    def _fork(self, request: Fork, fds: Sequence[int]) -> None:
        try:
            self._before_fork(request)
            self._has_forked = True
            code = forks.run_in_child(lambda: self._in_between(request, fds))
            if code:
                raise OSError(code, os.strerror(code))
        except Unloadable as error:
            self._channel.send(ForkFailed(request.slot, error.reason, error.detail, error.locked))
        except OSError as error:
            self._channel.send(ForkFailed(request.slot, f"cannot fork: {error.strerror}"))
        finally:
            for fd in fds:
                unpatched.close(fd)

    def _before_fork(self, request: Fork) -> None:
        """Raises Unloadable."""
        if self._hooks.before_fork is not None:
            orphan.end_with(self._master)  # while we are not listening
            self._hooks.before_fork(HookedWorker(self._site.name, self._generation, request.worker, None))
            orphan.outlive()
            if self._siblings is not None:
                self._siblings.sort_out()
        orphan.leave_to_master()
        flush_output()

    def _become(self, request: Become, fds: Sequence[int]) -> NoReturn:
        """Continue as a worker, which shares its application with nobody."""
        self._siblings = None
        prometheus.count(self._site)
        self._errors.lines.flush_all()
        self._channel.close()
        process.main(self._start(request, fds))

    def _in_between(self, request: Fork, fds: Sequence[int]) -> int:
        """The process between mold and worker, which ends at once, with the errno as exit code if it cannot
        fork."""
        try:
            if forks.fork() == 0:
                self._channel.close()
                patching.renew_hub()
                process.main(self._start(request, fds))
        except OSError as error:
            return error.errno or errno.EAGAIN
        return 0

    def _start(self, request: Fork | Become, fds: Sequence[int]) -> Start:
        channel_fd, *pipes = fds
        for pipe in pipes:  # in the place of the mold's, so that faulthandler has it from now on
            os.dup2(pipe, self._stacks_fd, inheritable=False)
            unpatched.close(pipe)
        return Start(
            site=self._site,
            master=self._master,
            generation=self._generation,
            worker=request.worker,
            app=self._app,
            hooks=self._hooks,
            siblings=self._siblings,
            proven=request.proven,
            quarantine=request.quarantine,
            growing=self._growing,
            channel=Channel(unpatched.Socket(fileno=channel_fd)),
            board=self._board.writer(request.slot),
            listeners=self._listeners,
            secured=self._secured,
            for_checks=self._for_checks,
            certificates=self._certificates,
            error_fd=self._error_fd,
            stderr_fd=self._stderr_fd,
            stacks_fd=self._stacks_fd,
            access_fd=self._access_fd,
        )


def _attached(fd: int, site: Site) -> Scoreboard:
    threads, paths, upgraded = site.most_threads + 1, site.metrics.paths, site.limits.upgraded
    return Scoreboard.attach(fd, threads, paths=paths, upgraded=upgraded)


def _certificates(site: Site, handed_fd: int | None) -> Certificates | None:
    """Raises Unloadable, although the master found them good a moment ago."""
    try:
        with handed.copies(handed_fd) as copies:
            certificates = interface.load(site.tls, copies)
    except CertificateError as error:
        raise Unloadable("; ".join(error.problems)) from None
    if certificates is not None:
        certificates.quieten()
    return certificates
