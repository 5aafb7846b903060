"""The error log's and the access log's files. Only the master opens them, with the rights that it was
started with; molds and workers are sent descriptors.

Once it serves, it does so in threads of their own: a disk that hangs must not hold up its loop.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass

from superwsgi.config.schema import Log
from superwsgi.log import files
from superwsgi.log.error import ErrorLog
from superwsgi.log.files import LogTargetError
from superwsgi.master.eventloop import EventLoop


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
        """For the master's own lines, which go on when these files are closed."""
        return None if self.error is None else fcntl.fcntl(self.error, fcntl.F_DUPFD_CLOEXEC, 3)

    def lead(self, errors: ErrorLog) -> None:
        """The master's own lines go here from now on."""
        errors.move(self.copy_of_error(), self.settings.level)

    def descriptors(self) -> list[int]:
        """Those that there are, error log first."""
        return [fd for fd in (self.error, self.access) if fd is not None]

    def take(self, anew: LogFiles) -> None:
        """Have the files that `anew` has, under the old numbers where there are such."""
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
"""Is told what has come of it, and when: in the loop's thread."""


class Opening:
    """The files of `settings` are being opened, until `then` is told of it: never, where a disk hangs."""

    def __init__(self, loop: EventLoop, settings: Log, then: Opened) -> None:
        """Raises OSError or RuntimeError where there is no descriptor or thread for it."""
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
