"""How log lines leave a process without a slow reader or disk holding anybody up.

Where a write cannot block (see Sink), the calling thread writes the line. Otherwise, and for what a write
did not take at once, a thread of its own writes; the caller waits a moment for it, so that a line gets out
even if the process is killed next. What does not fit in memory, or cannot be written, is dropped and counted;
a line with the count is written in its place, and a watcher is told at once.

Without that thread, in a process that may fork or does not serve yet, the caller writes. No Outlet raises.

Every process of a site appends to the same file or pipe, so a line must go out in one write(2): any size to a
regular file (O_APPEND), at most PIPE_BUF bytes to a pipe (pipe(7)).
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import socket
import stat
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, Protocol

from superwsgi import unpatched

LIMIT: Final = 1 << 20
"""Bytes that may wait for the thread: thousands of lines."""

PATIENCE: Final = 0.02
"""Seconds that a caller waits for its line; once that was too short, no caller waits until all is written."""

_OWN: Final = os.O_APPEND | os.O_NONBLOCK
"""Flags of a pipe or terminal that we have opened ourselves; others could clear them on one they share."""

NOT_READ: Final = "nobody reads it"
REMOVED: Final = "its file was removed"

PIPE_BUF: Final = select.PIPE_BUF
FILE_UNIT: Final = 64 << 10

_FAULTS: Final = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}

Notice = Callable[[int, str], bytes]
"""From the number of dropped lines and the reason to the line that reports them."""


class Watcher(Protocol):
    """Is told when lines begin to be dropped, for each reason, and when they are written again."""

    def loses(self, reason: str) -> None: ...
    def works(self, dropped: int) -> None: ...


class Outlet:
    """Writes lines to `fd`, from any thread and in order; no line of this process comes between those of one
    `put`."""

    def __init__(self, fd: int, notice: Notice, watcher: Watcher | None = None) -> None:
        self._sink = Sink(fd)
        self._notice = notice
        self._watcher = watcher
        self._alone()
        _call_in_forked(self)

    def _alone(self) -> None:
        """Begin anew: no thread, a lock that no thread holds, no lines waiting."""
        self._changed = unpatched.condition()
        self._thread: threading.Thread | unpatched.NativeThread | None = None
        self._waiting: deque[bytes] = deque()
        self._size = 0  # of what waits, bytes
        self._accepted = self._taken = 0  # pieces, ever
        self._dropped = 0  # lines
        self._reason = ""
        self._told: str | None = None  # the reason that the watcher knows
        self._full = False  # until nothing waits any more
        self._late = False
        self._closing = False

    @property
    def fd(self) -> int:
        """The descriptor; `reopen` keeps its number."""
        return self._sink.fd

    @property
    def unit(self) -> int:
        """Bytes of a line that one write keeps together."""
        return self._sink.unit

    @property
    def dropped(self) -> int:
        """Lines that were, and that is not written yet."""
        return self._dropped

    def start(self) -> None:
        """From now on only the thread waits for a reader or a disk."""
        with self._changed:
            self._closing = False
            if self._thread is None:
                self._thread = unpatched.thread(self._work, "superwsgi-log")
                self._thread.start()

    def put(self, lines: Iterable[bytes]) -> None:
        """Write lines, each with its newline if it has one."""
        pieces = list(chunks(lines, self._sink.unit))
        with self._changed:
            if self._thread is None:
                self._write(pieces, 0 if self._dropped else PATIENCE)
            else:
                self._leave(pieces)

    def reopen(self, fd: int) -> None:
        """Write to `fd` from now on; `fd` itself is closed."""
        with self._changed:
            self._sink.reopen(fd)

    def flush(self, seconds: float) -> None:
        """Wait until all lines are written, for at most `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, seconds)

    def close(self, seconds: float) -> None:
        """End the thread within `seconds`. Later lines are written by their callers, or queue behind what the
        thread could not write."""
        thread = self._thread
        if thread is None:
            return
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        thread.join(seconds)
        if not thread.is_alive():
            self._thread = None

    # The lock is held.

    def _leave(self, pieces: list[bytes]) -> None:
        """Write, or leave to the thread."""
        if self._sink.prompt and not self._waiting and not self._dropped:
            pieces = self._write_now(pieces)
        for piece in pieces:
            self._queue(piece)
        if self._waiting:
            self._changed.notify_all()
            if not (self._sink.prompt or self._late):
                self._wait(self._accepted)

    def _write_now(self, pieces: list[bytes]) -> list[bytes]:
        """Returns what did not go at once."""
        for at, piece in enumerate(pieces):
            try:
                gone = self._sink.write_now(piece)
            except OSError as error:
                self._drop(pieces[at:], error.strerror)
                return []
            if gone < len(piece):
                return [piece[gone:], *pieces[at + 1 :]]
        return []

    def _queue(self, piece: bytes) -> None:
        self._full = self._full or (self._size > 0 and self._size + len(piece) > LIMIT)
        if self._full:
            self._drop([piece], NOT_READ)
            return
        self._waiting.append(piece)
        self._size += len(piece)
        self._accepted += 1

    def _wait(self, until: int) -> None:
        self._late = not self._changed.wait_for(lambda: self._taken >= until, PATIENCE)

    def _drop(self, pieces: Iterable[bytes], reason: str | None) -> None:
        self._dropped += sum(max(1, piece.count(b"\n")) for piece in pieces)
        self._reason = reason or ""
        if self._watcher is not None and self._told != self._reason:
            self._told = self._reason
            self._watcher.loses(self._reason)

    # Writing, in the thread or where there is none.

    def _work(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - _FAULTS)
        while (piece := self._next()) is not None:
            self._write([piece], None)
            if self._take_away(piece) and self._dropped:
                self._write([], None)

    def _next(self) -> bytes | None:
        """What has waited longest; None where nothing will ever."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            return self._waiting[0] if self._waiting else None

    def _take_away(self, piece: bytes) -> bool:
        """It has been dealt with; whether it was the last."""
        with self._changed:
            self._waiting.popleft()
            self._size -= len(piece)
            self._taken += 1
            if not self._waiting:
                self._full = self._late = False
            self._changed.notify_all()
            return not self._waiting

    def _write(self, pieces: list[bytes], patience: float | None) -> None:
        """What was dropped is told first, unless it came behind what still waits."""
        try:
            if self._dropped and not self._full:
                self._tell(self._dropped, patience)
            while pieces:
                self._sink.write(pieces[0], patience)
                del pieces[0]
        except OSError as error:
            with self._changed:
                self._drop(pieces, error.strerror)

    def _tell(self, count: int, patience: float | None) -> None:
        self._sink.write(self._notice(count, self._reason), patience)
        with self._changed:
            self._dropped -= count
            if self._watcher is not None and not self._dropped:
                self._told = None
                self._watcher.works(count)


def _call_in_forked(outlet: Outlet) -> None:
    """In a child that is forked, the thread is not there, and the lock may be that of a thread that is not
    there either."""
    seen = weakref.ref(outlet)

    def forked() -> None:
        outlet = seen()
        if outlet is not None:
            outlet._alone()

    os.register_at_fork(after_in_child=forked)


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
        unpatched.close(fd)
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
        poll = unpatched.poll()
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
        return unpatched.Socket(fileno=fd)
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
