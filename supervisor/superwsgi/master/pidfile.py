"""The pid file. The master holds a lock on it (flock(2)) for as long as it lives, so whether a pid file is
stale never depends on guessing what a process id means now.

Its folder may be writable by the site's user, who may put anything in its place: so the master writes only to
an empty file or a pid file, and removes only the file that it holds.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from pathlib import Path
from typing import Final

from superwsgi.log.files import try_writing, write_error
from superwsgi.system import machine
from superwsgi.system.unsafe_paths import Inode, open_file

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_TRIES: Final = 5
_CONTENT: Final = re.compile(rb"\s*\d{0,10}\s*")


class PidFileError(Exception):
    """The pid file cannot be taken; the text says why."""


class PidFile:
    """Written by `take`, removed by `release`; `path` None is a site without one."""

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else Path(path)
        self._fd: int | None = None

    @classmethod
    def restore(cls, held: tuple[str, int]) -> PidFile:
        """The pid file that an earlier program of this process took and kept locked."""
        pidfile = cls(held[0])
        pidfile._fd = held[1]
        os.set_inheritable(held[1], False)
        return pidfile

    def hold(self) -> tuple[str, int] | None:
        """What the next program of this process needs: its path and descriptor."""
        return None if self._path is None or self._fd is None else (str(self._path), self._fd)

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
        """Write our process id. Takes over a file that a dead master left. Raises PidFileError if another
        master holds the file, or it cannot be written."""
        if self._path is None:
            return
        if self._fd is None:
            self._fd = _hold(self._path)
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode("ascii"), 0)
        except OSError as error:
            self.release()
            raise _cannot_write(self._path, error) from None

    def check_move(self, path: str | None) -> None:
        """Find out whether `move` would succeed. Raises PidFileError."""
        anew = PidFile(path)
        if anew._path != self._path:
            anew.check()

    def move(self, path: str | None) -> None:
        """Write another file in place of this one, or this one again if it was removed, perhaps with its
        folder. Raises PidFileError; this one then stays."""
        anew = PidFile(path)
        if anew._path != self._path or self.is_missing():
            anew.take()
            self.release()
            self._path, self._fd = anew._path, anew._fd

    def is_missing(self) -> bool:
        """Whether it was taken, and there is nothing at its path now. Anything that somebody else put there
        is left alone."""
        return self._path is not None and self._fd is not None and not os.path.lexists(self._path)

    def release(self) -> None:
        """Remove the file, if it is still the one that we hold, and release its lock."""
        if self._fd is None or self._path is None:
            return
        Inode.of(str(self._path), os.fstat(self._fd)).remove()
        os.close(self._fd)
        self._fd = None


def holder_of(path: Path) -> int | None:
    """Who holds a pid file, without touching its lock: a master that starts meanwhile must get it. None where
    nobody does, or the kernel does not say. Raises PidFileError for what `take` would refuse, OSError."""
    try:
        fd = open_file(path, _FLAGS & ~os.O_CREAT)
    except FileNotFoundError:
        return None
    try:
        _require_ours(path, fd)
        return machine.locker(os.fstat(fd))
    finally:
        os.close(fd)


def _hold(path: Path) -> int:
    """Raises PidFileError."""
    for _ in range(_TRIES):
        fd = _lock(path)
        if _is_at(path, fd):
            return fd
        os.close(fd)  # its holder removed it between our open and our lock
    raise PidFileError(f"pid file {path} keeps being replaced: name one in a folder of your own")


def _lock(path: Path) -> int:
    """Raises PidFileError."""
    try:
        fd = open_file(path, _FLAGS, 0o644)
    except OSError as error:
        raise _cannot_write(path, error) from None
    try:
        _require_ours(path, fd)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "?"
        os.close(fd)
        raise PidFileError(
            f"pid file {path} is held by process {holder}: this site runs already; "
            "stop that process, or send it HUP to reload"
        ) from None
    except BaseException:
        os.close(fd)
        raise
    return fd


def _require_ours(path: Path, fd: int) -> None:
    """Raises PidFileError for anything but a file that may have been a master's."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise PidFileError(f"pid file {path} is not a plain file with only this name: remove it")
    if os.geteuid() == 0 and status.st_uid != 0:
        raise PidFileError(f"pid file {path} belongs to user {status.st_uid}, not to root: remove it")
    if not _CONTENT.fullmatch(os.pread(fd, 32, 0)):
        raise PidFileError(f"pid file {path} contains something other than a process id: name another file")


def _is_at(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except OSError:
        return False


def _cannot_write(path: Path, error: OSError) -> PidFileError:
    return PidFileError(f"cannot write pid file {path}: {write_error(path, error)}")
