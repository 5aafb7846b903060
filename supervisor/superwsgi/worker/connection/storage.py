"""How much all outboxes of a worker may keep together, in memory and in temporary files; how many requests
may fill such files at once, so that threads are left for others; and the memory that large bodies have.

The kernel holds up a thread that writes faster than the disk, for seconds with a large response; nothing can
free the thread, and requests that wait for a thread wait for the disk. Which response will be large shows
only when it is there. So a kind of request (a method and a group of paths) whose last response was large is
expected to have another one. Large pieces that were not expected are written one after the other, so that the
first of their threads is free sooner.

Called from any thread. Times are monotonic ns.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from superwsgi import unpatched
from superwsgi.http.request.large import BLOCK
from superwsgi.worker.connection.alarm import NEVER, SECOND, Alarm

MEMORY: Final = 64 << 20
"""Bytes kept in memory by all connections of a worker, beyond the small amount that each may always keep."""

BODIES: Final = 64 << 20
"""Bytes of memory for the bodies of all requests of a worker, beyond what each may always keep."""

_UNUSED: Final = 5 * SECOND
"""How long memory for bodies is kept that none has needed. To give it back and to have it anew costs as much
as to receive what is put into it, by a page fault for each 4 KB: 10 MB take 10 ms, or 5 ms where the pages
are there."""

_PRIVATE: Final = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS

_LATELY: Final = 10 * SECOND
"""How long a path is expected to do the same again: a slow disk stays slow, and a wrong guess costs others
little."""

_REMEMBERED: Final = 256


class Allowance:
    """How many bytes may still be kept in one kind of place."""

    __slots__ = ("_left", "_lock")

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = unpatched.shared_lock()

    def reserve(self, size: int) -> bool:
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def give_back(self, size: int) -> None:
        with self._lock:
            self._left += size


class Blocks:
    """Memory for bodies: at most `most` bytes. Lists decide who gets what, so nothing is locked. `_least`
    may be wrong, and then some blocks are made anew, or kept for longer."""

    __slots__ = ("_alarm", "_due", "_free", "_least", "_most", "_unmade")

    def __init__(self, alarm: Alarm, most: int = BODIES) -> None:
        self._alarm = alarm
        self._most = most // BLOCK
        self._unmade: list[None] = [None] * self._most
        self._free: list[mmap.mmap] = []
        self._least = 0  # how many have been free all the time since the last look
        self._due = NEVER

    def lend(self) -> mmap.mmap | None:
        try:
            block = self._free.pop()
        except IndexError:
            self._least = 0
            return self._make()
        self._least = min(self._least, len(self._free))
        return block

    def take_back(self, blocks: list[mmap.mmap]) -> None:
        self._free += blocks

    def look(self, now: int) -> int:
        """Give the system what has not been needed since the last look; returns when to look again."""
        if self._due <= now:
            for _ in range(self._least):
                with suppress(IndexError):
                    self._free.pop()
                    self._unmade.append(None)
            self._least = len(self._free)
            self._due = now + _UNUSED if len(self._unmade) < self._most else NEVER
        return self._due

    def _make(self) -> mmap.mmap | None:
        try:
            self._unmade.pop()
        except IndexError:
            return None
        try:
            block = mmap.mmap(-1, BLOCK, _PRIVATE)
        except OSError:
            self._unmade.append(None)
            return None
        if self._due == NEVER:
            self._due = time.monotonic_ns() + _UNUSED
            self._alarm.no_later_than(self._due)
        return block


class Bulk:
    """`crowded`: as many as may run are running. `known`: until when a kind of request is expected to fill
    files. `turn` is held by a thread that writes a large piece."""

    __slots__ = ("_lock", "_most", "_running", "crowded", "known", "turn")

    def __init__(self, threads: int) -> None:
        self._most = max(1, threads // 2)
        self._running: set[object] = set()
        self._lock = unpatched.shared_lock()
        self.turn = unpatched.shared_lock()
        self.known: dict[str, int] = {}
        self.crowded = False

    def expects(self, kind: str, now: int) -> bool:
        return self.known.get(kind, 0) > now

    def begin(self, response: object) -> None:
        """A response fills files, or is expected to."""
        with self._lock:
            self._running.add(response)
            self.crowded = len(self._running) >= self._most

    def end(self, response: object, kind: str, filled: bool, now: int) -> None:
        """The application is done with it. Calling this twice does no harm."""
        with self._lock:
            self._running.discard(response)
            self.crowded = len(self._running) >= self._most
            if not filled:
                self.known.pop(kind, None)
                return
            if len(self.known) >= _REMEMBERED:
                self.known.clear()
            self.known[kind] = now + _LATELY


class Stores:
    """At most `spool` bytes of temporary files; `on_trouble` is called with errors of the file system, in any
    thread, and `bulk` keeps track of responses that fill files."""

    __slots__ = ("_lent", "_lock", "bulk", "files", "memory", "on_trouble")

    def __init__(
        self,
        spool: int,
        on_trouble: Callable[[OSError], None],
        memory: int = MEMORY,
        bulk: Bulk | None = None,
    ) -> None:
        self.bulk = bulk or Bulk(1)
        self.memory = Allowance(memory)
        self.files = Allowance(spool)
        self.on_trouble = on_trouble
        self._lent: dict[int, int] = {}  # by id of an object: how many keep it
        self._lock = unpatched.shared_lock()

    def lend(self, thing: bytes) -> bool:
        """Whether there is memory for an object. It is counted once: an application that answers from a
        cache gives the same object to many clients."""
        with self._lock:
            keepers = self._lent.get(id(thing), 0)
            if not keepers and not self.memory.reserve(len(thing)):
                return False
            self._lent[id(thing)] = keepers + 1
            return True

    def take_back(self, thing: bytes) -> None:
        """One of its keepers has let go of it."""
        with self._lock:
            keepers = self._lent[id(thing)] - 1
            if keepers:
                self._lent[id(thing)] = keepers
            else:
                del self._lent[id(thing)]
                self.memory.give_back(len(thing))
