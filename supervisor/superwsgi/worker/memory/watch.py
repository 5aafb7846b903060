"""Watches how the worker's memory grows while requests run: every few requests a look at it, with which
kinds have run since the last one. blame.py makes something of these looks.

Any thread calls `ended`, the polling thread `look`. Nothing is counted, and a request costs the look at a
flag, while the resident memory does not grow. While it does, a counted request takes 1 us, and
MOST_COUNTED a second are counted at most: 0.5 % of a core. What ran uncounted is not guessed: the looks
before and after it are not compared. Times are monotonic ns.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable
from random import randint
from typing import Final

from superwsgi import unpatched
from superwsgi.http.request.head import Request
from superwsgi.system.libc import allocated
from superwsgi.worker.connection.alarm import SECOND
from superwsgi.worker.memory.blame import MOST, Reading, renamed, thinned, with_names
from superwsgi.worker.queue.expectations import OTHER, kind_of
from superwsgi.worker.threads.thread import WorkerThread

OFTEN: Final = SECOND // 5
"""Between two looks at whether it grows."""

MOST_COUNTED: Final = 5000
_MOST_COUNTED: Final = MOST_COUNTED * OFTEN // SECOND

GROWN: Final = 4 << 20
"""It grows when it has so many bytes more than ever before."""

STILL: Final = 120 * SECOND
"""And does so no more when that has not happened again for so long."""

EACH: Final = 16
"""Requests from one look to the next, on average."""

_LONGEST: Final = 5 * SECOND
_COST: Final = 40
"""A look at the allocators takes 2 us, but milliseconds where there are a hundred thousand gaps. The next
one follows after so many times as long."""

KINDS: Final = 64
RARE: Final = 4
_TIDY: Final = SECOND
"""So many kinds are told apart. Anybody can ask for any path, so if there are more, those with fewer requests
than RARE make room, at most once in _TIDY ns."""

_CACHED: Final = 1024
_USUAL: Final = 256
"""Targets whose kind is known without looking for their group, which takes 2 us, and how many bytes these
have: clients choose them, and megabytes of them would be growth themselves."""

_FEW: Final = 64
"""Threads whose requests in hand are looked at; with more of them it would take too long."""

NEWS: Final = 16
"""Further looks after which it is worth judging them again."""

BLOCK: Final = 80
"""Bytes of one of Python's small objects, which are only counted: they have 16 to 512, most of them 48 to
96."""

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_STATM: Final = "/proc/self/statm"


class MemoryWatch:
    """`counts` while it wants to be told of requests that have `ended`; `grows` is whether the worker does.
    `news` becomes readable when there is something to judge, and when that changes."""

    def __init__(self, threads: Iterable[WorkerThread]) -> None:
        self.counts = False
        self.grows = False
        self.look_at = 0
        self.news = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._threads = threads
        self._lock = unpatched.shared_lock()
        self._looks: deque[Reading] = deque()
        self._kinds: dict[tuple[str, bytes], str] = {}
        self._names: set[str] = set()
        self._tidy_at = 0
        self._ended: dict[str, int] = {}
        self._file = -1
        self._left = 0  # requests that may be counted until the next look at whether it grows
        self._gap = 0  # requests until the next look
        self._not_before = 0
        self._joined = False  # all requests since the last look were counted
        self._highest = 0
        self._until = 0  # it grows
        self._unjudged = 0

    def look(self, now: int) -> None:
        """Whether it grows, and so whether to count from now on."""
        self.look_at = now + OFTEN
        with self._lock:
            resident = self._resident()
            if not self._highest:
                self._highest = resident
            elif resident > self._highest + GROWN:
                self._highest = resident
                self._until = now + STILL
            if self._joined and now - self._looks[-1].at > _LONGEST:
                self._compare(now)
            if OTHER in self._names and now >= self._tidy_at:
                self._tidy_at = now + _TIDY
                self._make_room()
            self._left = _MOST_COUNTED
            self.counts = now < self._until
            if self.grows and not self.counts:
                os.eventfd_write(self.news, 1)
            self.grows = self.counts
            self._joined = self._joined and self.counts

    def ended(self, request: Request, now: int) -> None:
        """The application is done with a request. Only while it `counts`."""
        kind = self._kind(request)
        with self._lock:
            self._ended[kind] = self._ended.get(kind, 0) + 1
            self._left -= 1
            self._gap -= 1
            if self._left <= 0:
                self.counts = self._joined = False
                self._gap = 0
            elif self._gap <= 0 and now >= self._not_before:
                self._compare(now, request)

    def looks(self) -> list[Reading]:
        """All that there are."""
        with self._lock:
            return list(self._looks)

    def forget(self) -> None:
        """What was seen until now is not to be judged any more."""
        with self._lock:
            while len(self._looks) > 1:
                self._looks.popleft()

    def close_in_child(self) -> None:
        """In a child that the application forked: the file tells of its parent."""
        self.counts = False
        unpatched.close(self.news)
        if self._file >= 0:
            unpatched.close(self._file)

    def _make_room(self) -> None:
        """For kinds that are not known yet, by those that were hardly asked for: these are others now."""
        asked = Counter(self._ended)
        for look in self._looks:
            asked.update(look.ended)
        kept = {kind for kind in self._names - {OTHER} if asked[kind] >= RARE}
        self._looks = deque([with_names(look, kept, OTHER) for look in self._looks])
        self._ended = renamed(self._ended, kept, OTHER)
        self._names = kept
        self._kinds = {}

    def _compare(self, now: int, done: Request | None = None) -> None:
        """Take a look; its thread still has the request that is `done`."""
        ended, self._ended = self._ended, {}
        began = time.monotonic_ns()
        used = allocated() + BLOCK * sys.getallocatedblocks()
        self._not_before = now + _COST * (time.monotonic_ns() - began)
        self._looks.append(Reading(now, self._resident(), used, ended, self._in_hand(done), self._joined))
        self._joined = True
        self._gap = randint(EACH // 2, EACH + EACH // 2)
        if len(self._looks) > MOST:
            self._looks = deque(thinned(list(self._looks)))
        self._unjudged += 1
        if self._unjudged >= NEWS:
            self._unjudged = 0
            os.eventfd_write(self.news, 1)

    def _in_hand(self, done: Request | None) -> dict[str, int]:
        found: dict[str, int] = {}
        for at, thread in enumerate(self._threads):
            connection = thread.connection
            exchange = connection.exchange if connection is not None else None
            if at >= _FEW:
                return {}
            if exchange is not None and exchange.request is not done:
                kind = self._kind(exchange.request)
                found[kind] = found.get(kind, 0) + 1
        return found

    def _kind(self, request: Request) -> str:
        key = request.method, request.target
        kind = self._kinds.get(key)
        return self._find(key, request) if kind is None else kind

    def _find(self, key: tuple[str, bytes], request: Request) -> str:
        kind = kind_of(request)
        if kind not in self._names:
            if len(self._names) >= KINDS:
                kind = OTHER
            self._names.add(kind)
        if len(request.target) <= _USUAL:
            if len(self._kinds) >= _CACHED:
                self._kinds.clear()
            self._kinds[key] = kind
        return kind

    def _resident(self) -> int:
        """Bytes: the second figure of proc_pid_statm(5), in pages. 0 if that cannot be read."""
        try:
            if self._file < 0:
                self._file = os.open(_STATM, os.O_RDONLY | os.O_CLOEXEC)
            return int(os.pread(self._file, 128, 0).split()[1]) * _PAGE
        except OSError:
            return 0
