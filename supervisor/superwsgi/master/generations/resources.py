"""What the master opens for a generation, with the rights that only it has, and sends to molds and workers:
listeners and the files of both logs.

Once it serves, it opens log files in separate threads: a disk that hangs must not hold up its loop.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from superwsgi.config.schema import Site
from superwsgi.config.sections import Log
from superwsgi.log import files
from superwsgi.log.error import ErrorLog
from superwsgi.log.files import LogTargetError
from superwsgi.master.eventloop import EventLoop
from superwsgi.master.sockets import sockets
from superwsgi.master.sockets.inherited import Inherited
from superwsgi.master.sockets.listener import Listener
from superwsgi.system.privileges import identity
from superwsgi.tls import interface
from superwsgi.tls.interface import Expiry


@dataclass(frozen=True)
class Shared:
    """What the master opens for a generation, with the rights that only it has, and what it has read of the
    certificates; `metrics` is the folder for the application's."""

    listeners: list[Listener]
    logs: LogFiles
    warnings: Sequence[str] = ()
    expires: Expiry | None = None
    metrics: str | None = None

    @classmethod
    def prepare(cls, site: Site, inherited: Inherited) -> Shared:
        """Open log files and listeners, at the first start.

        Raises CertificateError, LogTargetError, PrivilegeError or BindError, with nothing left open.
        """
        warnings, expires = _looked_at(site)
        logs = LogFiles.open(site.log)
        try:
            return cls(sockets.prepare(site, (), inherited), logs, warnings, expires)
        except BaseException:
            logs.close()
            raise

    @classmethod
    def beside(cls, site: Site, inherited: Inherited, open_already: Iterable[Listener]) -> Shared:
        """Open missing listeners beside those that serve; log files are opened later.

        Raises CertificateError, PrivilegeError or BindError, with nothing left open.
        """
        warnings, expires = _looked_at(site)
        listeners = sockets.prepare(site, open_already, inherited)
        return cls(listeners, LogFiles.yet_to_open(site.log), warnings, expires)

    def give_up(self, kept: Iterable[Listener]) -> None:
        """Close all but the listeners that are `kept`."""
        sockets.close(listener for listener in self.listeners if listener not in kept)
        self.logs.close()


def _looked_at(site: Site) -> tuple[Sequence[str], Expiry | None]:
    """Warnings about certificates, and when the first of them expires: the mold reads them again, and the
    master keeps no key.

    Raises PrivilegeError, CertificateError.
    """
    identity(site.user, site.group)
    certificates = interface.load(site.tls)
    return (certificates.warnings, certificates.expires) if certificates is not None else ((), None)


# Log files.


@dataclass(slots=True)
class LogFiles:
    """Open descriptors; None for a log that is off, and for all until they are `opened`."""

    settings: Log
    error: int | None
    access: int | None
    opened: bool = True

    @classmethod
    def open(cls, settings: Log) -> LogFiles:
        """Raises superwsgi.log.files.LogTargetError."""
        error = files.open_target(settings.error, files.STDERR)
        try:
            return cls(settings, error, files.open_target(settings.access, files.STDOUT))
        except BaseException:
            if error is not None:
                os.close(error)
            raise

    @classmethod
    def yet_to_open(cls, settings: Log) -> LogFiles:
        return cls(settings, None, None, opened=False)

    def copy_of_error(self) -> int | None:
        """For the master's own lines, which continue when these files are closed."""
        return None if self.error is None else fcntl.fcntl(self.error, fcntl.F_DUPFD_CLOEXEC, 3)

    def lead(self, errors: ErrorLog) -> None:
        """Send the master's own lines here from now on."""
        errors.move(self.copy_of_error(), self.settings.level, self.settings.style)

    def descriptors(self) -> list[int]:
        """The open ones, error log first."""
        return [fd for fd in (self.error, self.access) if fd is not None]

    def switch_to(self, anew: LogFiles) -> None:
        """Take over the files of `anew`, under the old descriptor numbers if there are any."""
        if not self.opened:
            self.error, self.access, self.opened = anew.error, anew.access, True
            return
        for old, new in zip(self.descriptors(), anew.descriptors(), strict=True):
            os.dup2(new, old, inheritable=False)
        anew.close()

    def close(self) -> None:
        for fd in self.descriptors():
            os.close(fd)


Opened = Callable[[LogFiles | LogTargetError, float], None]
"""Called with the result and the time, in the loop's thread."""


class Opening:
    """Opens the files of `settings` and then calls `then`: never, if a disk hangs."""

    def __init__(self, loop: EventLoop, settings: Log, then: Opened) -> None:
        """Raises OSError or RuntimeError if there is no descriptor or thread for it."""
        self._loop = loop
        self._settings = settings
        self._then = then
        self._result: LogFiles | LogTargetError | None = None
        self._done = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        loop.on_readable(self._done, self._tell)
        try:
            threading.Thread(target=self._open, name="superwsgi-log-opening", daemon=True).start()
        except RuntimeError:
            self._end()
            raise

    def _open(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._result = LogFiles.open(self._settings)
        except LogTargetError as error:
            self._result = error
        with contextlib.suppress(OSError):  # the master has ended
            os.eventfd_write(self._done, 1)

    def _tell(self, now: float) -> None:
        self._end()
        assert self._result is not None
        self._then(self._result, now)

    def _end(self) -> None:
        self._loop.forget(self._done)
        os.close(self._done)
