"""The admin process from its first line to its last: a fresh interpreter that the master has executed. It has
no application code, no variable of the site's, and the rights of nobody where the master is root.

The main thread hears the master, and says every other second that the loop turns; one thread asks what the
site does (watching.py); those of the loop answer. It ends when the master says so, or is gone.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import Final, NoReturn

from setproctitle import setproctitle

from superwsgi.admin.app import Application
from superwsgi.admin.asking import Asking
from superwsgi.admin.charts.history import Areas, History
from superwsgi.admin.charts.marks import Marks
from superwsgi.admin.guard import Policy
from superwsgi.admin.metrics.application import AppMetrics
from superwsgi.admin.watching import Watching
from superwsgi.board.scoreboard import IDLE_BEAT, Scoreboard
from superwsgi.channel import CHANNEL_FD, Channel, Closed, OutOfDescriptors
from superwsgi.config.listening import TcpAddress
from superwsgi.config.schema import Site
from superwsgi.config.sections import Elastic, Limits, Log, Proxy, Timeouts
from superwsgi.control import Why, WhyRequest
from superwsgi.log.error import ErrorLog
from superwsgi.log.files import copy_of_stderr
from superwsgi.messages import Alive, BootAdmin, Connected, Message, Ready, Reopen, Stop
from superwsgi.system import libc, lineage, orphan, procfs
from superwsgi.system.privileges import drop
from superwsgi.system.signals import ignore
from superwsgi.worker.reporting import Reporting
from superwsgi.worker.serve.acceptor import Listeners
from superwsgi.worker.serve.loop import Loop

_BEAT: Final = 2.0
"""Seconds between two signs of life."""

_GOODBYE: Final = 1.0
"""Seconds that streams get for their last event."""

_PR_SET_NO_NEW_PRIVS: Final = 38

_MASTERS: Final = (
    *(signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU),
)
"""Signals that a terminal or a supervisor sends to all processes: the master says when we end."""


def main() -> NoReturn:
    """The program; ends the process, whatever its threads do."""
    code = 1
    try:
        _close_others()
        lineage.carry()  # copies of this process end with it (strays.py): they could answer in its place
        os.set_inheritable(CHANNEL_FD, False)
        channel = Channel(socket.socket(fileno=CHANNEL_FD))
        ignore(_MASTERS)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        message, fds = channel.receive()
        assert isinstance(message, BootAdmin)
        admin = AdminProcess(channel, message, fds)  # first: only root may read the package, perhaps
        _seclude(message)
        code = admin.live()
    except Closed:
        code = 0  # the master is gone
    except BaseException as error:
        print(f"superwsgi: the admin process failed: {type(error).__name__}: {error}", file=sys.stderr)
        if not isinstance(error, OSError):
            sys.excepthook(type(error), error, error.__traceback__)
    finally:
        os._exit(code)


def _close_others() -> None:
    """What the master was started with may be a file of root's."""
    for fd in procfs.descriptors():
        if fd > CHANNEL_FD:
            with contextlib.suppress(OSError):
                os.close(fd)


def _seclude(boot: BootAdmin) -> None:
    """Have no right that is not needed, and be traced by nobody: the token is in our memory. Raises
    PrivilegeError, OSError."""
    drop(boot.user, None, None)
    libc.refuse_tracing()
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1)
    orphan.end_with(boot.master)
    setproctitle(f"superwsgi: admin [{boot.name}]")


class AdminProcess:
    """The parts, and what the master says to them."""

    def __init__(self, channel: Channel, boot: BootAdmin, fds: Sequence[int]) -> None:
        self._began = time.monotonic()
        self._channel = channel
        history, *rest = fds
        error_fd = rest.pop(0) if boot.error_log else None
        self._errors = ErrorLog(
            error_fd,
            boot.log.level,
            style=boot.log.style,
            stderr_fd=copy_of_stderr(),
            admin=os.getpid(),
        )
        self._errors.report_to(Reporting(channel))
        self._asking = Asking(channel)
        kept = History(Areas(history), Marks(self._why))
        self._watching = Watching(self._asking, kept.note)
        self._watcher = threading.Thread(target=self._watching.run, name="superwsgi-watching", daemon=True)
        own = None if boot.metrics is None else AppMetrics(boot.metrics)
        app = Application(_policy(boot), self._asking, self._watching, kept, own)
        site = _site(boot)
        self._board = Scoreboard.create(1, site.most_threads + 1)
        self._loop = Loop(
            site=site,
            app=app,
            listeners=Listeners([socket.socket(fileno=fd) for fd in rest]),
            board=self._board.writer(0),
            errors=self._errors,
            access=None,
            on_recycle=lambda _: None,
        )

    def _why(self, most: int) -> Why:
        """Raises Unanswered."""
        answer = self._asking.ask(WhyRequest(most=most))
        assert isinstance(answer, Why)
        return answer

    def live(self) -> int:
        """Until the master says that it is over; returns the exit code."""
        self._errors.start()
        self._loop.prepare()
        gc.collect()
        gc.freeze()
        self._channel.send(Ready(time.monotonic() - self._began))  # the first word
        self._watcher.start()
        self._loop.start()
        self._obey()
        self._watching.end()
        self._loop.drain(lame_duck=0.0)
        self._loop.join(_GOODBYE)
        self._errors.close()
        return 0

    def _obey(self) -> None:
        heard = select.poll()
        heard.register(self._channel.fileno(), select.POLLIN)
        due = time.monotonic() + _BEAT
        while True:
            left = due - time.monotonic()
            if left <= 0:
                due = time.monotonic() + _BEAT
                self._say_that_we_live()
            elif heard.poll(left * 1000):
                try:
                    message, fds = self._channel.receive()
                except Closed:
                    return
                except OutOfDescriptors as error:
                    self._errors.warning(
                        "message of the master lost", reason=str(error), next="asked for again"
                    )
                    continue
                if self._told(message, fds):
                    return

    def _told(self, message: Message, fds: Sequence[int]) -> bool:
        """Whether to end."""
        if isinstance(message, Connected):
            self._asking.connected(fds[0])
        elif isinstance(message, Reopen):
            self._errors.reopen(fds[0])
        return isinstance(message, Stop)

    def _say_that_we_live(self) -> None:
        beat, _ = self._board.pulse(0)
        if self._watcher.is_alive() and time.monotonic() - beat < 2 * IDLE_BEAT:
            with contextlib.suppress(OSError):
                self._channel.offer(Alive())


def _policy(boot: BootAdmin) -> Policy:
    bound = {address.host for address in boot.settings.bind if isinstance(address, TcpAddress)}
    names = {f"[{name}]" if ":" in name else name for name in (*bound, *boot.settings.hosts)}
    return Policy(frozenset(names), boot.settings.token, boot.exposed)


def _site(boot: BootAdmin) -> Site:
    """What our own loop is told: little is allowed, and that a stream is long is no reason to end it."""
    return Site(
        name=boot.name,
        apps={"/": "superwsgi.admin.app:Application"},
        workers=1,
        threads=Elastic(min=4, max=40),
        timeouts=Timeouts(request=900.0, graceful=_GOODBYE, linger=0.0, queue=10.0),
        limits=Limits(body=64 << 10, connections=256, queue=64, spool=64 << 20),
        proxy=Proxy(trusted=()),
        log=Log(level=boot.log.level, style=boot.log.style, access="off", slow=0.0),
    )
