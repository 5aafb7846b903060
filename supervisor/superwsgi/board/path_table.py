"""The table of what a worker has answered, by method and group of paths: a part of its slot on the
scoreboard, which has no size unless the site asks for it (metrics.paths).

One row for each method and group, and one for each method of all groups beyond GROUPS, called OTHER. Written
by one worker, read by the master; as on the rest of the board, an application can write anything there.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from superwsgi.board.counts import BUCKETS, CLASSES, METHODS, bucket, class_of
from superwsgi.board.layout import WORD

GROUPS: Final = 100
"""Groups of paths that are counted by themselves, for a worker as for a site."""

OTHER: Final = "other"

ROWS: Final = 256
"""The first ones are those of OTHER, one a method."""

NAME_BYTES: Final = 120

# Field table of a row: name -> number of 64-bit words, in order.
ROW: Final = {
    "method": 1,  # its number in counts.METHODS, and one; 0: nothing is counted here
    "group": NAME_BYTES // WORD,
    # From here on all are counts.
    "time": 1,  # ns from a request's complete arrival until its answer was sent
    "app_time": 1,  # ns in the application
    "answers": len(CLASSES),  # by class of status
    "latency": BUCKETS,  # from arrival to the last byte
}
TIMES: Final = 2
ANSWERS_AT: Final = TIMES
LATENCY_AT: Final = ANSWERS_AT + len(CLASSES)
COUNTS: Final = LATENCY_AT + BUCKETS
"""Where counts are among those of a row, after as many TIMES, and how many there are."""

_ROW_BYTES: Final = sum(ROW.values()) * WORD
_NAME: Final = struct.Struct(f"=Q{NAME_BYTES}s")
_COUNTS: Final = struct.Struct(f"={COUNTS}Q")

TABLE_WORDS: Final = ROWS * _ROW_BYTES // WORD

_GROUP: Final = re.compile(r"[/*][!-~]*")


class Series(NamedTuple):
    """A method, by its number, and a group of paths."""

    method: int
    group: str


class PathTableWriter:
    """A worker's own table. It remembers what it has counted, as others can write to the memory; the caller
    sees to it that one thread is here at a time."""

    def __init__(self, memory: memoryview, at: int) -> None:
        """`memory` is the board's bytes, `at` where the table begins."""
        self._memory = memory
        self._at = at
        self._counts = [[0] * COUNTS for _ in range(ROWS)]

    def name(self, row: int, series: Series) -> None:
        """Begin a row."""
        group = series.group.encode("latin-1", "replace")
        _NAME.pack_into(self._memory, self._at + row * _ROW_BYTES, series.method + 1, group)

    def count(self, row: int, status: int, app: int, took: int) -> None:
        """As ThreadWriter.count, shown at once."""
        counts = self._counts[row]
        counts[0] += took
        counts[1] += max(0, app)
        counts[ANSWERS_AT + class_of(status)] += 1
        counts[LATENCY_AT + bucket(took)] += 1
        _COUNTS.pack_into(self._memory, self._at + row * _ROW_BYTES + _NAME.size, *counts)


class Row(NamedTuple):
    """What a table says: `series` is None where that is no name."""

    at: int
    series: Series | None
    counts: tuple[int, ...]


def changed(before: bytes, after: bytes) -> Iterator[Row]:
    """Rows of a table that differ from those before."""
    for at in range(0, len(after), _ROW_BYTES):
        row = after[at : at + _ROW_BYTES]
        if row != before[at : at + _ROW_BYTES]:
            series = series_of(row[: _NAME.size], others=at < len(METHODS) * _ROW_BYTES)
            yield Row(at, series, _COUNTS.unpack_from(row, _NAME.size))


def counts_at(table: bytes | bytearray, at: int) -> tuple[int, ...]:
    """Those of the row that begins there."""
    return _COUNTS.unpack_from(table, at + _NAME.size)


def put(table: bytearray, at: int, like: bytes, counts: tuple[int, ...]) -> None:
    """Replace the row that begins there: by the name that another table has there, and these counts."""
    behind = at + _NAME.size
    table[at:behind] = like[at:behind]
    _COUNTS.pack_into(table, behind, *counts)


@lru_cache(1024)
def series_of(raw: bytes, *, others: bool) -> Series | None:
    """The name at the beginning of a row, which is one of the first ones if it is of `others`; None if that
    is no name."""
    number, name = _NAME.unpack(raw)
    if not 0 < number <= len(METHODS):
        return None
    if others:
        return Series(number - 1, OTHER)
    group = name.split(b"\0", 1)[0].decode("latin-1")
    return Series(number - 1, group) if _GROUP.fullmatch(group) else Series(number - 1, OTHER)
