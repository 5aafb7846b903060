"""What all outboxes of a worker may keep together, in memory and in temporary files."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from superwsgi.worker.connection.bulk import Bulk

MEMORY: Final = 64 << 20
"""Bytes kept in memory by all connections of a worker, beyond the little that each may keep anyway."""


class Allowance:
    """Bytes that may still be kept in one kind of place."""

    __slots__ = ("_left", "_lock")

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def give_back(self, size: int) -> None:
        with self._lock:
            self._left += size


class Stores:
    """`spool` bytes of temporary files at most; `on_trouble` is told of errors of the file system, in any
    thread, and `bulk` of who fills files."""

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
        self._lent: dict[int, int] = {}  # by whom an object is kept: how many
        self._lock = threading.Lock()

    def lend(self, thing: bytes) -> bool:
        """Whether there is memory for an object, which is counted once: an application that answers from a
        cache gives the same to many clients."""
        with self._lock:
            keepers = self._lent.get(id(thing), 0)
            if not keepers and not self.memory.take(len(thing)):
                return False
            self._lent[id(thing)] = keepers + 1
            return True

    def take_back(self, thing: bytes) -> None:
        """One that kept it does so no more."""
        with self._lock:
            keepers = self._lent[id(thing)] - 1
            if keepers:
                self._lent[id(thing)] = keepers
            else:
                del self._lent[id(thing)]
                self.memory.give_back(len(thing))
