"""The admin process, supervised: started with the site, again when it dies, and anew after a change of its
settings or an upgrade; ended last. Whatever becomes of it, the site goes on serving.

Its sockets are the master's, so clients wait while there is no such process; so is the memory with its
history.
It tells the master only the words in hearing.ADMIN, and asks for no more than server.GUESTS_MAY.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from functools import partial
from typing import Final

import msgspec

from superwsgi import extras
from superwsgi.channel import Channel, Closed, Forged
from superwsgi.config.errors import ConfigError
from superwsgi.config.schema import Site
from superwsgi.config.sections import HealthSettings
from superwsgi.log.rate_limit import Complaint
from superwsgi.log.spelling import duration, ending
from superwsgi.master.admin.handle import AdminHandle
from superwsgi.master.admin.user import require, user_of
from superwsgi.master.context import MasterContext, Startup
from superwsgi.master.control.server import Control
from superwsgi.master.handover import HeldAdmin
from superwsgi.master.policy import death
from superwsgi.master.processes.handles import GRACE
from superwsgi.master.processes.hearing import Said
from superwsgi.master.processes.launch import execute_admin, why
from superwsgi.master.processes.program import ExitCode, WatchProcess
from superwsgi.master.sockets import sockets
from superwsgi.master.sockets.inherited import reopened
from superwsgi.master.sockets.listener import BindError, Endpoint, Listener
from superwsgi.messages import BootAdmin, Connect, Connected, Ready, Reopen, Stop, WentWrong, Word
from superwsgi.snapshot import AdminStatus
from superwsgi.system.privileges import PrivilegeError

PATIENCE: Final = 10.0
"""Seconds without a word after which it is killed. It says every other second that it lives."""

HISTORY: Final = 8 << 20
"""Bytes of address space for its history; memory is used for what there is of it."""

_BOOT: Final = 60.0
"""Seconds until its first word."""

_LOOK: Final = 2.0
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Admin:
    """`watch` takes a process, and calls back when it has ended."""

    def __init__(
        self, context: MasterContext, startup: Startup, control: Control, watch: WatchProcess
    ) -> None:
        self._loop = context.loop
        self._errors = context.errors
        self._startup = startup
        self._control = control
        self._watch = watch
        self._site: Site | None = None  # whose settings are in effect
        self._listeners: list[Listener] = []
        self._untold: list[Listener] = []  # new ones that the log does not name yet, the site's being first
        self._history: int | None = None
        self._process: AdminHandle | None = None
        self._lost = Complaint(context.errors.error, "admin socket lost")
        self._early = 0  # deaths in a row
        self._last_early: float | None = None
        self._stopping = False

    # What it is to be: follows the current generation.

    def check(self, site: Site) -> None:
        """A reload begins: find out whether `settle` would succeed. Raises PrivilegeError, BindError."""
        require(site)
        listeners = self._bound(site)
        sockets.close(only_in(listeners, self._listeners))

    def settle(self, site: Site) -> None:
        """Serve as this site says, from now on. Raises BindError, with all as it was."""
        listeners = self._bound(site)
        sockets.adapt(listeners, _alone(site))
        before, self._site = self._site, site
        same = _facts(before) == _facts(site) and listeners == self._listeners
        before_it, self._listeners = self._listeners, listeners
        self._untold += only_in(listeners, before_it)
        if not same:
            self._replace()
        sockets.give_up(only_in(before_it, listeners))
        if self._history is None and listeners:
            self._history = _memory()

    def _bound(self, site: Site) -> list[Listener]:
        """Raises BindError, with nothing left bound."""
        return sockets.prepare(_alone(site), self._listeners, self._startup.inherited)

    def _replace(self) -> None:
        """By one that has the settings of now, if there is to be one."""
        self._early = 0
        self._loop.call_at(0.0, partial(self._end_or_start, self._process))

    def _end_or_start(self, before: AdminHandle | None, now: float) -> None:
        """One that was started in the place of `before` in the meantime has the settings of now."""
        for listener in self._untold:
            self._errors.info("listening", address=listener, only="admin")
        self._untold = []
        if self._process is None:
            self._start(now)
        elif self._process is before:
            self._end(before, now)

    def look(self, now: float) -> None:
        """Listen again where somebody has removed the file of a socket, or the folder that it was in."""
        lost = next((each for each in self._listeners if not each.can_be_reached()), None)
        if lost is None or self._site is None or self._stopping:
            return
        reason, then = "its file was removed", "bound again"
        try:
            self.settle(self._site)
        except BindError as error:
            reason, then = f"{reason}; {error}", "tried again"
        self._lost.make(int(now * 1e9), socket=lost.address, reason=reason, next=then)

    # An upgrade.

    def hold(self) -> HeldAdmin | None:
        """What the next program of this process needs to know of it."""
        if not self._listeners:
            return None
        pid = None if self._process is None else self._process.pid
        return HeldAdmin(pid, [listener.hold() for listener in self._listeners], self._history)

    def adopt(self, held: HeldAdmin | None, now: float) -> None:
        """Go on where an earlier program of this process has left off: its admin process ends, and is
        replaced by one of this program, which finds the history."""
        if held is None:
            return
        self._listeners = [Listener.restore(each, reopened(each.fd)) for each in held.listeners]
        self._history = held.history
        if held.pid is not None:
            process = AdminHandle(held.pid, None, now, now)
            self._process = process
            self._watch(held.pid, partial(self._ended, process))
            self._end(process, now)

    # Its life.

    def status(self) -> AdminStatus | None:
        """None where there is none."""
        if not self._listeners:
            return None
        pid = None if self._process is None else self._process.pid
        return AdminStatus(pid, [str(listener) for listener in self._listeners])

    @property
    def lives(self) -> bool:
        return self._process is not None

    def stop(self) -> None:
        """The site stops: it is not started again."""
        self._stopping = True

    def finish(self, now: float) -> None:
        """All other processes are gone: end it, too."""
        self._stopping = True
        if self._process is not None:
            self._end(self._process, now)

    def close(self) -> None:
        sockets.close(self._listeners)
        self._listeners = []

    def reopen(self) -> None:
        """The error log is another file now."""
        process, fds = self._process, self._log_files()
        if process is not None and process.channel is not None and fds:
            with contextlib.suppress(Closed, BlockingIOError):
                process.channel.send(Reopen(error_log=True, access_log=False), fds)

    def _start(self, now: float) -> None:
        if self._stopping or self._process is not None or not self._listeners or self._site is None:
            return
        try:
            extras.require(self._site)  # an update of the packages may have taken away what it needs
            require(self._site)
            pid, channel = self._launched(self._site)
        except (OSError, PrivilegeError, ConfigError) as error:
            again = self._put_off(None, now)
            self._errors.error("admin not started", reason=why(error), next=f"tried again in {again}")
            return
        process = AdminHandle(pid, channel, now, now + _BOOT - PATIENCE)
        self._process = process
        self._watch(pid, partial(self._ended, process))
        self._loop.on_readable(channel.fileno(), partial(self._hear, process))
        self._loop.call_at(now + _LOOK, partial(self._look, process))

    def _launched(self, site: Site) -> tuple[int, Channel]:
        """Raises OSError, PrivilegeError."""
        user, logs = user_of(site), self._log_files()
        assert self._history is not None
        boot = BootAdmin(
            os.getpid(),
            site.name,
            site.admin,
            site.log,
            error_log=bool(logs),
            exposed=any(map(_is_exposed, self._listeners)),
            user=user,
            metrics=self._startup.metrics.path if site.metrics.app else None,
        )
        channel, theirs = Channel.pair()
        with theirs:
            try:
                # Sent first, as in launch_mold.
                channel.send(boot, [self._history, *logs, *(each.sock.fileno() for each in self._listeners)])
                return execute_admin(self._startup.origin.python, user, theirs), channel
            except BaseException:
                channel.close()
                raise

    def _log_files(self) -> list[int]:
        return [] if self._site is None or self._site.log.error == "off" else [self._errors.descriptor()]

    # What it says.

    def _hear(self, process: AdminHandle, now: float) -> None:
        channel = process.channel
        assert channel is not None
        try:
            while True:
                word, sender = channel.hear()
                process.hear(word, sender, now)
                self._heed(process, channel, word, now)
        except BlockingIOError:
            return
        except Closed:
            self._loop.forget(channel.fileno())
            self._loop.call_at(now + GRACE, partial(self._kill, process, "it closed its channel"))
        except Forged as error:
            self._loop.forget(channel.fileno())
            self._kill(process, f"impossible message: {error}", now)

    def _heed(self, process: AdminHandle, channel: Channel, word: Word, now: float) -> None:
        if isinstance(word, Ready):
            took = duration(word.seconds)
            self._errors.bind(admin=process.pid).info("admin ready", took=took)
        elif isinstance(word, Connect):
            self._connect(channel, now)
        elif isinstance(word, WentWrong):
            log = self._errors.as_of(admin=process.pid)
            log.incident(word.level, word.event, word.detail, **word.fields)

    def _connect(self, channel: Channel, now: float) -> None:
        theirs = self._control.invite(now)
        if theirs is not None:
            with theirs, contextlib.suppress(Closed, BlockingIOError):
                channel.send(Connected(), [theirs.fileno()])

    def _look(self, process: AdminHandle, now: float) -> None:
        """Whether it lives."""
        if self._process is process:
            self._loop.call_at(now + _LOOK, partial(self._look, process))
            if now - process.heard_at > PATIENCE:
                self._kill(process, "it hangs, or a signal has stopped it", now)

    # How it ends.

    def _end(self, process: AdminHandle, now: float) -> None:
        if process.asked_to_go:
            return
        process.asked_to_go = True
        if process.channel is not None:
            with contextlib.suppress(Closed, BlockingIOError):
                process.channel.send(Stop())
        self._loop.call_at(now + GRACE, partial(self._kill, process, ""))

    def _kill(self, process: AdminHandle, reason: str, _now: float) -> None:
        """Unless it has ended: then its process id may be somebody else's."""
        if self._process is process:
            process.killed = process.killed or reason
            os.kill(process.pid, signal.SIGKILL)

    def _ended(self, process: AdminHandle, code: ExitCode, now: float) -> None:
        self._process = None
        if process.channel is not None:
            self._loop.forget(process.channel.fileno())
            process.channel.close()
        if process.asked_to_go:
            self._start(now)
        elif not self._stopping:
            served = None if process.said is Said.NOTHING else now - process.began
            again = self._put_off(served, now)
            how = f"killed: {process.killed}" if process.killed else ending(code)
            log = self._errors.bind(admin=process.pid)
            log.error("admin died", how=how, next=f"restarted{again and f' in {again}'}")

    def _put_off(self, served: float | None, now: float) -> str:
        """Start it again, later if it dies again and again; returns in what time, empty for at once."""
        since = None if self._last_early is None else now - self._last_early
        self._early = death.streak(self._early, served=served, since_last=since)
        self._last_early = now if self._early else None
        delay = death.delay(self._early)
        self._loop.call_at(now + delay, self._start)
        return duration(delay) if delay else ""


def _alone(site: Site) -> Site:
    """As if it had no other addresses. Their files are the master's user's, unless they name another one."""
    return msgspec.structs.replace(site, bind=site.admin.bind, health=HealthSettings(), user=None, group=None)


def only_in(listeners: list[Listener], others: list[Listener]) -> list[Listener]:
    return [listener for listener in listeners if listener not in others]


def _facts(site: Site | None) -> tuple[object, ...] | None:
    """What the process is told: with other facts it is another one."""
    return None if site is None else (site.name, site.admin, site.log, site.user, site.metrics)


def _is_exposed(listener: Listener) -> bool:
    """Whether other machines may reach it."""
    endpoint = listener.endpoint()
    return endpoint is not None and not _is_loopback(endpoint)


def _is_loopback(endpoint: Endpoint) -> bool:
    return endpoint.host == "::1" or endpoint.host.startswith("127.")


def _memory() -> int:
    """Memory whose size nobody can change: a reader of less got a SIGBUS. Raises OSError."""
    fd = os.memfd_create("superwsgi-history", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, HISTORY)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd
