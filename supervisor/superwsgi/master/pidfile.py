"""The pid file. The master holds a lock on it (flock(2)) for as long as it lives, so whether a pid file is
stale never depends on guessing what a process id means now.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from superwsgi.log.files import try_writing, write_error


class PidFileError(Exception):
    """The pid file cannot be taken; the text says why."""


class PidFile:
    """Written by `take`, removed by `release`; `path` None is a site without one."""

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else Path(path)
        self._fd: int | None = None

    def check(self) -> None:
        """Find out whether `take` would succeed, without making the file. Raises PidFileError."""
        if self._path is None:
            return
        try:
            try_writing(self._path)
        except OSError as error:
            raise _cannot_write(self._path, error) from None
        if self._path.exists():
            os.close(_lock(self._path))

    def take(self) -> None:
        """Write our process id. Raises PidFileError where another master holds the file, or it cannot be
        written. A file that a dead master left is taken over."""
        if self._path is None:
            return
        while self._fd is None:
            fd = _lock(self._path)
            if _is_at(self._path, fd):
                self._fd = fd
            else:  # its holder removed it between our open and our lock
                os.close(fd)
        try:
            os.ftruncate(self._fd, 0)
            os.write(self._fd, f"{os.getpid()}\n".encode("ascii"))
        except OSError as error:
            self.release()
            raise _cannot_write(self._path, error) from None

    def check_move(self, path: str | None) -> None:
        """Find out whether `move` would succeed. Raises PidFileError."""
        anew = PidFile(path)
        if anew._path != self._path:
            anew.check()

    def move(self, path: str | None) -> None:
        """Write another file in the place of this one. Raises PidFileError; this one then stays."""
        anew = PidFile(path)
        if anew._path != self._path:
            anew.take()
            self.release()
            self._path, self._fd = anew._path, anew._fd

    def release(self) -> None:
        """Remove the file, while it is still the one that we hold, and let go of it."""
        if self._fd is None or self._path is None:
            return
        if _is_at(self._path, self._fd):
            self._path.unlink()
        os.close(self._fd)
        self._fd = None


def _lock(path: Path) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise _cannot_write(path, error) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(fd, 32).decode("ascii", "replace").strip() or "?"
        os.close(fd)
        raise PidFileError(
            f"pid file {path} is held by process {holder}: this site runs already; "
            "stop that process, or send it HUP to reload"
        ) from None
    return fd


def _is_at(path: Path, fd: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(fd).st_ino
    except OSError:
        return False


def _cannot_write(path: Path, error: OSError) -> PidFileError:
    return PidFileError(f"cannot write pid file {path}: {write_error(path, error)}")
