"""The table of how a worker's answers of each kind have turned out: a part of its slot on the scoreboard.
From it the master tells whether a new generation fails where the one before it did not (master/answers/).

One row for each method and group of paths, and one for each method of all groups beyond those that have a
row, called OTHER. Failures are all counted, and the latest is named; of the other answers only some are
looked at, each of which stands for those since the one before. Written by one worker, read by the master;
as on the rest of the board, an application can write anything there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from superwsgi.board.counts import METHODS
from superwsgi.board.layout import ID_BYTES, PATH_BYTES, WORD
from superwsgi.board.path_table import NAME_BYTES, Series, series_of

ROWS: Final = 128
"""The first ones are those of OTHER, one a method."""

# Field table of a row: name -> number of 64-bit words, in order.
ROW: Final = {
    "method": 1,  # its number in counts.METHODS, and one; 0: nothing is counted here
    "group": NAME_BYTES // WORD,
    "failed": 1,  # answers with a 5xx of the application's
    "good": 1,  # other answers: for how many stand those that were looked at
    "squares": 1,  # the squares of that, summed up
    "path": PATH_BYTES // WORD,  # of the latest failure, as is
    "id": ID_BYTES // WORD,
}

_NAME: Final = struct.Struct(f"=Q{NAME_BYTES}s")
_COUNTS: Final = struct.Struct("=QQQ")
_LATEST: Final = struct.Struct(f"={PATH_BYTES}s{ID_BYTES}s")
_ROW_BYTES: Final = sum(ROW.values()) * WORD

KINDS_WORDS: Final = ROWS * _ROW_BYTES // WORD


class KindTableWriter:
    """A worker's own table. It remembers what it has counted, as others can write to the memory; the caller
    sees to it that one thread is here at a time."""

    def __init__(self, memory: memoryview, at: int) -> None:
        """`memory` is the board's bytes, `at` where the table begins."""
        self._memory = memory
        self._at = at
        self._failed = [0] * ROWS
        self._good = [0] * ROWS
        self._squares = [0] * ROWS

    def name(self, row: int, series: Series) -> None:
        """Begin a row."""
        group = series.group.encode("latin-1", "replace")
        _NAME.pack_into(self._memory, self._at + row * _ROW_BYTES, series.method + 1, group)

    def fail(self, row: int, path: bytes, request_id: bytes) -> None:
        """One more has failed."""
        self._failed[row] += 1
        self._show(row)
        at = self._at + row * _ROW_BYTES + _NAME.size + _COUNTS.size
        _LATEST.pack_into(self._memory, at, path, request_id)

    def succeed(self, row: int, times: int) -> None:
        """One that stands for so many has not failed."""
        self._good[row] += times
        self._squares[row] += times * times
        self._show(row)

    def _show(self, row: int) -> None:
        counts = self._failed[row], self._good[row], self._squares[row]
        _COUNTS.pack_into(self._memory, self._at + row * _ROW_BYTES + _NAME.size, *counts)


class KindRow(NamedTuple):
    """What a table says more than before, which is less than nothing where somebody else has written there;
    `path` and `id` of the latest failure may be cut."""

    series: Series
    failed: int
    good: int
    squares: int
    path: str
    id: str


def more(before: bytes, after: bytes) -> Iterator[KindRow]:
    """Rows of a table that have a name, and differ from those before; `before` may be empty."""
    for at in range(0, len(after), _ROW_BYTES):
        row, known = after[at : at + _ROW_BYTES], before[at : at + _ROW_BYTES]
        if row == known:
            continue
        series = series_of(row[: _NAME.size], others=at < len(METHODS) * _ROW_BYTES)
        if series is not None:
            yield KindRow(series, *_difference(known.ljust(_ROW_BYTES, b"\0"), row), *_latest(row))


def _difference(before: bytes, after: bytes) -> tuple[int, int, int]:
    failed, good, squares = _COUNTS.unpack_from(after, _NAME.size)
    failed_before, good_before, squares_before = _COUNTS.unpack_from(before, _NAME.size)
    return failed - failed_before, good - good_before, squares - squares_before


def _latest(row: bytes) -> tuple[str, str]:
    path, request_id = _LATEST.unpack_from(row, _NAME.size + _COUNTS.size)
    return _text(path), _text(request_id)


def _text(raw: bytes) -> str:
    """What can be printed."""
    text = raw.split(b"\0", 1)[0].decode("latin-1")
    return "".join(each if "!" <= each <= "~" else "?" for each in text)
