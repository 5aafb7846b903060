"""The access log: requests only append entries; a thread of its own formats and writes them.

`log` never blocks and never fails: the queue is bounded, and what does not fit or cannot be written is
counted and reported in the error log, and on stderr. The writer thread belongs to one process and is started
after the fork; while there is nothing to write it sleeps without a timeout.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice
from queue import Empty, SimpleQueue
from typing import Final

from superwsgi import unpatched
from superwsgi.log.error import ErrorLog
from superwsgi.log.formats import AccessEntry, Formatter, Writer, compile_format
from superwsgi.log.rate_limit import Complaint
from superwsgi.log.writer import Sink, chunks

__all__ = ["AccessEntry", "AccessLog"]

QUEUE_LIMIT: Final = 16_384
"""Entries in memory: most of a second of the fastest worker, some 10 MB."""

_WINDOW: Final = 0.05
"""Seconds from the first entry of a batch to its writing: at most 20 wake-ups a second."""

_PAUSE: Final = 0.0005
"""Seconds between two slices of a batch, in which other threads can take the GIL. A write(2) alone does not
give it to them: the writer is back before they are awake."""

_PATIENCE: Final = 1.0
"""Seconds a full pipe may take before the error log says so, and between two reports of dropped entries."""


def slice_size(backlog: int) -> int:
    """How many lines to spell at a stretch, with the GIL held for some 2.5 us each.

    A batch of a busy worker is a thousand lines, which would make waiting threads 2.5 ms later;
    so it is cut into slices. But where another thread computes, each slice costs a GIL switch (5 ms): with
    64 lines the writer falls behind at 11,000 lines a second. So a slice grows with what is waiting.
    """
    return max(64, backlog // 8)


class AccessLog:
    """Entries go to `fd` (None: nowhere) as `format`, from this process: `pid`, `worker`, `generation`;
    `sampled` if some requests have none.

    Raises ValueError for a template that `parse_template` refuses.
    """

    def __init__(
        self,
        fd: int | None,
        format: str,
        errors: ErrorLog,
        *,
        pid: int,
        worker: int,
        generation: int,
        sampled: bool = False,
    ) -> None:
        self._sink = None if fd is None else Sink(fd)
        self._format: Formatter = compile_format(format, Writer(pid, worker, generation), sampled=sampled)
        self._errors = errors
        self._queue: SimpleQueue[AccessEntry | None] = SimpleQueue()
        self._thread: threading.Thread | unpatched.NativeThread | None = None
        self._closing = False
        self._overflow = threading.Lock()
        self._refused = 0  # entries that did not fit, by all threads
        self._unwritten = 0  # entries that could not be written, by the writer
        self._reported = 0
        self._reported_at = 0.0
        self._failing = False
        self._failures: dict[str, Complaint] = {}  # by reason
        self._alarmed = False

    @property
    def enabled(self) -> bool:
        """False where the log is off, and no entry need be made."""
        return self._sink is not None

    def log(self, entry: AccessEntry) -> None:
        """Hand over an entry: some 0.1 us, from any thread."""
        if self._queue.qsize() < QUEUE_LIMIT:
            self._queue.put(entry)
        else:
            with self._overflow:
                self._refused += 1

    def start(self) -> None:
        """Start the writer thread, in the process that logs. Does nothing where the log is off."""
        if self.enabled:
            self._thread = unpatched.thread(self._run, "superwsgi-access-log")
            self._thread.start()

    def reopen(self, fd: int) -> None:
        """Write to `fd` from now on; `fd` itself is closed. Raises OSError where it is no descriptor."""
        if self._sink is None:
            unpatched.close(fd)
        else:
            self._sink.reopen(fd)

    def close(self, timeout: float = 1.0) -> None:
        """Write what is queued, in at most `timeout` seconds, and end the writer thread."""
        if self._thread is not None:
            self._closing = True
            self._queue.put(None)
            self._thread.join(timeout)

    def _run(self) -> None:
        closed = False
        while not closed:
            first = self._queue.get()
            if not self._closing:
                unpatched.sleep(_WINDOW)
            closed = self._write_all(first)
        self._failing = False  # for good: what was dropped is to be told
        self._report_dropped()

    def _write_all(self, first: AccessEntry | None) -> bool:
        """Write what is queued; True where `close` stood in the queue, with all that came before it."""
        entries = chain((first,), self._queued())
        closed = False
        while batch := list(islice(entries, slice_size(self._queue.qsize()))):
            self._write([self._format(entry) for entry in batch if entry is not None])
            self._report_dropped()
            closed = closed or None in batch
            if not (self._closing or self._queue.empty()):
                unpatched.sleep(_PAUSE)
        return closed

    def _queued(self) -> Iterator[AccessEntry | None]:
        with suppress(Empty):
            while True:
                yield self._queue.get_nowait()

    def _write(self, lines: list[bytes]) -> None:
        sink = self._sink
        assert sink is not None, "the writer thread runs only where there is a file"
        for piece in chunks(lines, sink.unit):
            self._wait_until_writable(sink)
            try:
                sink.write(piece, patience=None)
            except OSError as exc:
                self._failed(exc, piece.count(b"\n"))
            else:
                self._failing = False

    def _wait_until_writable(self, sink: Sink) -> None:
        told = False
        while not sink.writable(_PATIENCE):
            if not told:
                then = "lines are kept in memory, and dropped once there is no room"
                self._errors.warning("access log stuck", reason="nobody reads it", next=then)
            told = True

    def _failed(self, exc: OSError, lines: int) -> None:
        self._unwritten += lines
        self._failing = True
        reason = exc.strerror or str(exc)
        failure = self._failures.setdefault(reason, Complaint(self._errors.alarm, "access log failed"))
        self._alarmed |= failure.make(
            time.monotonic_ns(), reason=reason, next="lines are dropped until it works"
        )

    def _report_dropped(self) -> None:
        dropped = self._refused + self._unwritten
        if dropped == self._reported or self._failing:
            return
        now = time.monotonic()
        if self._queue.empty() or now - self._reported_at > _PATIENCE:
            say = self._errors.all_clear if self._alarmed else self._errors.warning
            say("access log dropped", lines=dropped - self._reported)
            self._reported, self._reported_at, self._alarmed = dropped, now, False
