"""What the worker has answered, by method and group of paths, where the site asks for that (metrics.paths).
Any thread counts here; one at a time.

Anybody can ask for any path, so the first GROUPS groups have their own counts, and the rest is counted
together. What clients merely try, and get a 4xx or the server's own answer for, takes no more than half of
these places: a scanner is not to take those of pages that there are.
"""

from __future__ import annotations

from typing import Final

from superwsgi import unpatched
from superwsgi.board.counts import METHODS, NUMBERS, OTHER_METHOD
from superwsgi.board.path_table import GROUPS, OTHER, ROWS, PathTableWriter, Series
from superwsgi.http.request.head import Request
from superwsgi.http.request.path_groups import group_below

_CACHED: Final = 1024
_USUAL: Final = 256
"""Paths whose row is known without looking for their group, which takes 2 us, and how many bytes these have:
clients choose them, and would fill megabytes."""


class ByPath:
    """Times are in ns. `folders` are paths below which all are files."""

    def __init__(self, table: PathTableWriter, folders: tuple[str, ...] = ()) -> None:
        self._table = table
        self._folders = folders
        self._lock = unpatched.shared_lock()
        self._rows = {Series(number, OTHER): number for number in range(len(METHODS))}
        self._groups: set[str] = set()
        self._cache: dict[tuple[int, bytes], int] = {}
        for series, row in self._rows.items():
            table.name(row, series)

    def count(self, request: Request | None, status: int, app: int, took: int) -> None:
        """As ThreadWriter.count; None is a request that could not be understood."""
        if request is None:
            with self._lock:
                self._table.count(OTHER_METHOD, status, app, took)
        else:
            self.count_target(request.counted_as, request.target, status, app, took)

    def count_late(self, method: str, target: str, status: int, app: int, took: int) -> None:
        """The same of one of which only the entry of the access log is left."""
        self.count_target(NUMBERS.get(method, OTHER_METHOD), target.encode("latin-1"), status, app, took)

    def count_target(self, method: int, target: bytes, status: int, app: int, took: int) -> None:
        """The same, by the method's number and the target as the client spelled it."""
        key = method, target.partition(b"?")[0]
        with self._lock:
            row = self._cache.get(key)
            if row is None:
                row = self._find(*key, served=app >= 0 and status // 100 != 4)
            self._table.count(row, status, app, took)

    def _find(self, method: int, path: bytes, *, served: bool) -> int:
        series = Series(method, group_below(path, self._folders))
        row = self._rows.get(series)
        if row is None:
            row = self._begin(series, GROUPS if served else GROUPS // 2)
        if row >= len(METHODS) and len(path) <= _USUAL:
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            self._cache[method, path] = row
        return row

    def _begin(self, series: Series, most: int) -> int:
        """The row of a new one: its own, or that of all others."""
        known = series.group in self._groups
        if len(self._rows) >= ROWS or not (known or len(self._groups) < most):
            return series.method
        row = self._rows[series] = len(self._rows)
        self._groups.add(series.group)
        self._table.name(row, series)
        return row
