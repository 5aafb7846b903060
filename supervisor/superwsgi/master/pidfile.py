"""The pid file. The master holds a lock on it (flock(2)) for as long as it lives, so whether a pid file is
stale never depends on guessing what a process id means now.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class PidFileError(Exception):
    """The pid file cannot be taken; the text says why."""


class PidFile:
    """Written by `take`, removed by `release`."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._fd: int | None = None

    def take(self) -> None:
        """Write our process id. Raises PidFileError where another master holds the file, or it cannot be
        written. A file that a dead master left is taken over."""
        while self._fd is None:
            fd = self._open()
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(fd, 32).decode("ascii", "replace").strip() or "?"
                os.close(fd)
                raise PidFileError(
                    f"pid file {self.path} is held by process {holder}: this site runs already; "
                    "stop that process, or send it HUP to reload"
                ) from None
            if self._is_ours(fd):
                self._fd = fd
            else:  # its holder removed it between our open and our lock
                os.close(fd)
        try:
            os.ftruncate(self._fd, 0)
            os.write(self._fd, f"{os.getpid()}\n".encode("ascii"))
        except OSError as error:
            self.release()
            raise PidFileError(f"cannot write pid file {self.path}: {error.strerror}") from None

    def release(self) -> None:
        """Remove the file, while it is still the one that we hold, and let go of it."""
        if self._fd is None:
            return
        if self._is_ours(self._fd):
            self.path.unlink()
        os.close(self._fd)
        self._fd = None

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise PidFileError(f"cannot write pid file {self.path}: {reason}") from None

    def _is_ours(self, fd: int) -> bool:
        try:
            return self.path.stat().st_ino == os.fstat(fd).st_ino
        except OSError:
            return False
