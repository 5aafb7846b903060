"""Where a log goes: targets opened for appending, and descriptors written so that lines stay whole.

The master opens targets, as root, before privileges are dropped, and hands the descriptors on. Every
process of a site appends to the same file or pipe, so a line must go out in one write(2): any size to a
regular file (O_APPEND), at most PIPE_BUF bytes to a pipe (pipe(7)).

The reader of a pipe, socket or terminal may stop reading, and a disk may hang: Sink says what waits then.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from superwsgi.system.unsafe_paths import open_file

STDOUT: Final = 1
STDERR: Final = 2

# An absolute path cannot open these where they are sockets, as under systemd.
_STANDARD: Final = {"/dev/stdout": STDOUT, "/dev/stderr": STDERR}

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_MODE: Final = 0o644

_OWN: Final = os.O_APPEND | os.O_NONBLOCK
"""Flags of a pipe or terminal that we have opened ourselves; others could clear them on one they share."""

NOT_READ: Final = "nobody reads it"
REMOVED: Final = "its file was removed"

PIPE_BUF: Final = select.PIPE_BUF
FILE_UNIT: Final = 64 << 10


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
        os.close(open_file(path, _FLAGS & ~os.O_CREAT))
    except FileNotFoundError:
        try_making(path.parent)


def try_making(folder: Path) -> None:
    """Find out whether a file can be made in a folder, by one without a name (O_TMPFILE, open(2)).

    Raises OSError.
    """
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, _MODE))
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


class Sink:
    """A log's descriptor, and how to write to it. `reopen` keeps its number, so threads may go on writing.

    It is `prompt` where no write ever waits: sockets, for which send(2) has a flag, and pipes and terminals
    that we have opened. Pipes and terminals that others have opened are polled first (poll(2)); we wait there
    only if another process takes the room between poll and write. A disk may hang for ever, and cannot be
    polled.

    A file of ours that has been removed is no longer written to: nobody would ever read it.
    """

    __slots__ = ("_named", "_regular", "_socket", "_torn", "fd", "prompt", "unit")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._socket: socket.socket | None = None
        self._torn = False
        self._look()

    def __del__(self) -> None:
        if self._socket is not None:
            self._socket.detach()  # the descriptor is not its own

    def reopen(self, fd: int) -> None:
        """Write to what `fd` is from now on, and close `fd` itself."""
        os.dup2(fd, self.fd, inheritable=False)
        os.close(fd)
        if self._socket is not None:
            self._socket.detach()
        self._torn = False
        self._look()

    def _look(self) -> None:
        """Find out what the descriptor refers to. `unit`: bytes that one write(2) keeps together."""
        mode = os.fstat(self.fd).st_mode
        self._regular = stat.S_ISREG(mode)
        self._socket = _as_socket(self.fd) if stat.S_ISSOCK(mode) else None
        own = fcntl.fcntl(self.fd, fcntl.F_GETFL) & _OWN == _OWN
        # Another's file, such as a redirected stdout, may never have had a name.
        self._named = own and self._regular
        self.prompt = self._socket is not None or (own and not self._regular)
        self.unit = FILE_UNIT if self._regular else PIPE_BUF

    def write(self, lines: bytes, patience: float | None) -> None:
        """Write all of it; a full pipe is given `patience` seconds (None: for ever). Raises OSError.

        What a failed write left of a line is ended before the next one begins.
        """
        data = b"\n" + lines if self._torn else lines
        at = 0
        try:
            while at < len(data):
                at += self._write_some(data[at:], patience)
        finally:
            self._torn = at < len(data) and (at > 0 or self._torn)

    def write_now(self, data: bytes) -> int:
        """Write what goes at once, and return how many bytes that were; for a sink that is `prompt`.
        Raises OSError."""
        at = 0
        try:
            while at < len(data):
                at += self._put(data[at:])
        except BlockingIOError:
            pass
        return at

    def writable(self, patience: float | None) -> bool:
        """Whether a pipe has room, within `patience` seconds; files always have."""
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        return bool(poll.poll(None if patience is None else patience * 1000))

    def _write_some(self, data: bytes, patience: float | None) -> int:
        if not (self.prompt or self.writable(patience)):
            raise BlockingIOError(errno.EAGAIN, NOT_READ)
        try:
            return self._put(data)
        except BlockingIOError:
            if not self.writable(patience):
                raise BlockingIOError(errno.EAGAIN, NOT_READ) from None
            return 0

    def _put(self, data: bytes) -> int:
        if self._regular:
            if self._named and _is_removed(self.fd):
                raise FileNotFoundError(errno.ENOENT, REMOVED)
            return os.write(self.fd, data)
        if self._socket is not None:
            return self._socket.send(data[: self.unit], socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        return os.write(self.fd, data[: self.unit])


def _is_removed(fd: int) -> bool:
    """Whether the file has no name any more. Some file systems count no names: then the kernel's own word for
    it (proc(5)) has to say so, too."""
    if os.fstat(fd).st_nlink:
        return False
    try:
        return str(Path(f"/proc/self/fd/{fd}").readlink()).endswith(" (deleted)")
    except OSError:
        return True


def _as_socket(fd: int) -> socket.socket:
    """A socket object for a descriptor, without the timeout that an application may have set for new ones."""
    wanted = socket.getdefaulttimeout()
    socket.setdefaulttimeout(None)
    try:
        return socket.socket(fileno=fd)
    finally:
        socket.setdefaulttimeout(wanted)


def chunks(lines: Iterable[bytes], unit: int) -> Iterator[bytes]:
    """Join whole lines into pieces of at most `unit` bytes; a line that is longer is a piece of its own."""
    piece: list[bytes] = []
    size = 0
    for line in lines:
        if size + len(line) > unit and piece:
            yield b"".join(piece)
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    if piece:
        yield b"".join(piece)
