"""Where a log goes: targets opened for appending, or only tried. How they are written to is in writer.py.

The master opens targets, as root, before privileges are dropped, and hands the descriptors on.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from superwsgi import unpatched
from superwsgi.system.unsafe_paths import open_file

STDOUT: Final = 1
STDERR: Final = 2

# An absolute path cannot open these where they are sockets, as under systemd.
_STANDARD: Final = {"/dev/stdout": STDOUT, "/dev/stderr": STDERR}

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_MODE: Final = 0o644


class LogTargetError(Exception):
    """A log cannot be opened: `target` as the site file has it, `reason` for the operator."""

    def __init__(self, target: str, reason: str) -> None:
        super().__init__(f"{target}: {reason}")
        self.target = target
        self.reason = reason


def open_target(target: str, standard: int) -> int | None:
    """A new descriptor that appends to `target`; None for `off`, a copy of `standard` for `-`.

    It is close-on-exec, and the caller's to close. Raises LogTargetError.
    """
    if target == "off":
        return None
    descriptor = standard if target == "-" else _STANDARD.get(target)
    try:
        return open_file(Path(target), _FLAGS, _MODE) if descriptor is None else _copy(descriptor)
    except OSError as exc:
        raise LogTargetError(target, write_error(Path(target), exc)) from None


def check_target(target: str) -> None:
    """Find out whether `open_target` would succeed, without making a file. Raises LogTargetError."""
    if target not in ("off", "-", *_STANDARD):
        try:
            try_writing(Path(target))
        except OSError as exc:
            raise LogTargetError(target, write_error(Path(target), exc)) from None


def try_writing(path: Path) -> None:
    """Find out whether a file can be opened for writing, or made, and leave everything as it is.

    Raises OSError, as `open_file` would.
    """
    try:
        unpatched.close(open_file(path, _FLAGS & ~os.O_CREAT))
    except FileNotFoundError:
        try_making(path.parent)


def try_making(folder: Path) -> None:
    """Find out whether a file can be made in a folder, by one without a name (O_TMPFILE, open(2)).

    Raises OSError.
    """
    try:
        unpatched.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, _MODE))
    except OSError as exc:
        if exc.errno not in (errno.EOPNOTSUPP, errno.EISDIR):  # a file system without such files
            raise
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None


def is_journal(fd: int, environ: Mapping[str, str]) -> bool:
    """Whether `fd` is systemd's journal: $JOURNAL_STREAM has its device and inode (systemd.exec(5))."""
    status = os.fstat(fd)
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _copy(fd: int) -> int:
    """A copy of a standard descriptor that does not block us when its reader is stuck.

    O_NONBLOCK is a flag of the open file, which others share (the shell, the next command), so a pipe or a
    terminal is opened again. A regular file is not: it would have an offset of its own, and overwrite.
    """
    mode = os.fstat(fd).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        try:
            return os.open(f"/proc/self/fd/{fd}", _FLAGS & ~os.O_CREAT)
        except OSError:  # another user's, or no /proc
            pass
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)


def copy_of_stderr() -> int | None:
    """What `open_target` gives for `-`; None where the process has no standard error."""
    try:
        return open_target("-", STDERR)
    except LogTargetError:
        return None


def write_error(path: Path, exc: OSError) -> str:
    """Why a file cannot be opened for writing, in words."""
    folder = path.parent
    match exc.errno:
        case errno.ENOENT:
            return f"the folder {folder} does not exist"
        case errno.EISDIR:
            return "is a folder, not a file"
        case errno.ENOTDIR:
            return f"{folder} is not a folder"
        case errno.EACCES | errno.EPERM:
            return f"no permission to write it as user id {os.geteuid()}"
        case errno.EROFS:
            return "is on a read-only file system"
        case errno.ENXIO:
            return "is a socket, or a pipe that nobody reads"
        case errno.EBADF:
            return "the standard descriptor is closed"
        case _:
            return exc.strerror or str(exc)
