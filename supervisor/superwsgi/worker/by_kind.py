"""How the application's answers of each kind have turned out: which failed (500 and above), and how many did
not. Any thread counts here.

Failures are rare, and each is looked at. Of the others some hundred a second are: looking at one takes
about a microsecond, and a busy worker answers tens of thousands. How many pass in between is drawn at
random each time, so that no pattern in what clients ask for goes unseen, and the one that is looked at
stands for them all. While there is little to do, each is looked at. How many there are is counted without a
lock, and never set back: where threads run at the same time a few may go uncounted, but none counts twice.

Anybody can ask for any path, so the first kinds have their own counts, and the rest is counted together.
What clients merely try, and get a 4xx for, takes no more than half of these places.
"""

from __future__ import annotations

from random import Random
from typing import Final

from superwsgi import unpatched
from superwsgi.board.counts import METHODS, NUMBERS, OTHER_METHOD
from superwsgi.board.kind_table import ROWS, KindTableWriter
from superwsgi.board.path_table import OTHER, Series
from superwsgi.http.request.head import Request
from superwsgi.http.request.path_groups import group_below

_LOOKS: Final = 128
"""After as many looks, sooner than after _SOON, half as many are taken; twice as many, if it took longer than
_LATE."""

_SOON: Final = 1_000_000_000 // 2
_LATE: Final = 4 * _SOON

_SERVED: Final = ROWS - len(METHODS)
_CACHED: Final = 1024
_USUAL: Final = 256
"""Paths whose row is known without looking for their group, which takes 2 us, and how many bytes these have:
clients choose them, and would fill megabytes."""


class ByKind:
    """Times are monotonic ns. `folders` are paths below which all are files."""

    def __init__(self, table: KindTableWriter, folders: tuple[str, ...] = ()) -> None:
        self._table = table
        self._folders = folders
        self._lock = unpatched.shared_lock()
        self._random = Random()  # its own: the application may want its sequence to be the same each time
        self._passed = 0  # answers, ever
        self._seen = 0  # those that a look has counted
        self._due = 1  # with how many the next look is due
        self._most = 1  # of a gap
        self._looks = 0
        self._since = 0
        self._rows = {Series(number, OTHER): number for number in range(len(METHODS))}
        self._cache: dict[tuple[int, bytes], int] = {}
        for series, row in self._rows.items():
            table.name(row, series)

    def count(self, request: Request, status: int, now: int) -> None:
        """The application has answered. On the hot path."""
        self._passed += 1
        if self._passed >= self._due or status >= 500:
            self._look(request.counted_as, request.target, request.id, status, now)

    def count_late(self, method: str, target: str, request_id: str, status: int, now: int) -> None:
        """The same of an answer of which only the entry of the access log is left."""
        self._passed += 1
        if self._passed >= self._due or status >= 500:
            number = NUMBERS.get(method, OTHER_METHOD)
            self._look(number, target.encode("latin-1"), request_id, status, now)

    def _look(self, method: int, target: bytes, request_id: str, status: int, now: int) -> None:
        path = target.partition(b"?")[0]
        with self._lock:
            row = self._cache.get((method, path))
            if row is None:
                row = self._find(method, path, served=status // 100 != 4)
            if status >= 500:
                self._seen += 1
                self._due += 1
                self._table.fail(row, path, request_id.encode("latin-1", "replace"))
            elif (passed := self._passed - self._seen) > 0:  # else another thread has just looked
                self._table.succeed(row, passed)
                self._seen += passed
                self._next(now)

    def _next(self, now: int) -> None:
        self._looks += 1
        took = now - self._since
        if self._looks >= _LOOKS or took > _LATE:
            if took < _SOON:
                self._most *= 2
            elif took > _LATE and self._most > 1:
                self._most //= 2
            self._looks, self._since = 0, now
        gap = 1 if self._most == 1 else self._random.randint(1, 2 * self._most - 1)
        self._due = self._seen + gap

    def _find(self, method: int, path: bytes, *, served: bool) -> int:
        series = Series(method, group_below(path, self._folders))
        row = self._rows.get(series)
        if row is None:
            if len(self._rows) - len(METHODS) >= (_SERVED if served else _SERVED // 2):
                return method
            row = self._rows[series] = len(self._rows)
            self._table.name(row, series)
        if len(path) <= _USUAL:
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            self._cache[method, path] = row
        return row
