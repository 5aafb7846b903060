"""How log lines leave a process without a slow reader or disk holding anybody up.

Where a write cannot block (files.Sink), the calling thread writes the line. Otherwise, and for what a write
did not take at once, a thread of its own writes; the caller waits a moment for it, so that a line gets out
even if the process is killed next. What does not fit in memory, or cannot be written, is dropped and counted;
a line with the count is written in its place, and a watcher is told at once.

Without that thread, in a process that may fork or does not serve yet, the caller writes. Nothing here raises.
"""

from __future__ import annotations

import os
import signal
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from superwsgi.log.files import NOT_READ, Sink, chunks

LIMIT: Final = 1 << 20
"""Bytes that may wait for the thread: thousands of lines."""

PATIENCE: Final = 0.02
"""Seconds that a caller waits for its line; once that was too short, no caller waits until all is written."""

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
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
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
    def dropped(self) -> int:
        """Lines that were, and that is not written yet."""
        return self._dropped

    def start(self) -> None:
        """From now on only the thread waits for a reader or a disk."""
        with self._changed:
            self._closing = False
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="superwsgi-log", daemon=True)
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
