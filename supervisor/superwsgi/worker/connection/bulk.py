"""Requests whose responses fill temporary files: how many of them run at once, so that others have a thread.

Whoever writes more than the disk takes is held up by the kernel, for seconds with a response of some size;
the thread cannot be had back, and what else waits for a thread waits for the disk. Which response will be of
that kind shows only when it is there. So a path whose last response was is expected to have another one, and
with it those that differ in a number only. Large pieces that were not expected are written one after the
other: the first of their threads is free the sooner.

Called in any thread. Times are monotonic ns.
"""

from __future__ import annotations

import re
import threading
from typing import Final

from superwsgi.worker.connection.alarm import SECOND

_LATELY: Final = 10 * SECOND
"""How long a path is expected to do what it did: a slow disk goes on being slow, and a mistake costs others
little."""

_REMEMBERED: Final = 256

_NUMBERED: Final = re.compile(r"[^/]*[0-9][^/]*")
"""A segment of a path that names one of many things: a number, a date, a hash."""


class Bulk:
    """`crowded`: as many as may run are running. `known`: until when a kind of path is expected to fill
    files. `turn` is held by who writes much."""

    __slots__ = ("_lock", "_most", "_running", "crowded", "known", "turn")

    def __init__(self, threads: int) -> None:
        self._most = max(1, threads // 2)
        self._running: set[object] = set()
        self._lock = threading.Lock()
        self.turn = threading.Lock()
        self.known: dict[str, int] = {}
        self.crowded = False

    def expects(self, path: str, now: int) -> bool:
        return self.known.get(_kind(path), 0) > now

    def begin(self, response: object) -> None:
        """A response fills files, or is expected to."""
        with self._lock:
            self._running.add(response)
            self.crowded = len(self._running) >= self._most

    def end(self, response: object, path: str, filled: bool, now: int) -> None:
        """The application is done with it. Once is enough, twice no harm."""
        kind = _kind(path)
        with self._lock:
            self._running.discard(response)
            self.crowded = len(self._running) >= self._most
            if not filled:
                self.known.pop(kind, None)
                return
            if len(self.known) >= _REMEMBERED:
                self.known.clear()
            self.known[kind] = now + _LATELY


def _kind(path: str) -> str:
    return _NUMBERED.sub("0", path)
