"""A body that has outgrown what each may keep in memory: in memory that it is lent, as long as there is some,
and after that in a temporary file.

Plain, not compiled: it is the application's to read. Used by one thread at a time.
"""

from __future__ import annotations

import io
import tempfile
from contextlib import suppress
from mmap import mmap
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, cast

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

BLOCK: Final = 256 << 10
"""Bytes of memory that are lent at a time."""

_READ: Final = 64 << 10
"""Bytes read ahead for who reads by lines. Who reads as many at a time, as frameworks do, has them copied
once."""


class Lender(Protocol):
    """Has memory for the bodies of a worker, in blocks of BLOCK bytes."""

    def lend(self) -> mmap | None:
        """A block with any content; None if there is no memory. Any thread."""

    def take_back(self, blocks: list[mmap]) -> None:
        """They are not used any more. Any thread."""


class Nothing:
    """A lender without memory."""

    def lend(self) -> None:
        return None

    def take_back(self, blocks: list[mmap]) -> None:
        """Those that it has lent, which are none."""


NOTHING: Final = Nothing()


class Large(io.RawIOBase):
    """`put` content, then read it; `closed`, its blocks are back."""

    def __init__(self, lender: Lender) -> None:
        self._lender = lender
        self._blocks: list[mmap] = []
        self._in_blocks = 0  # bytes; the rest is in the file
        self._file: BinaryIO | None = None
        self._size = self._at = 0

    def reader(self) -> BinaryIO:
        """What the application is given."""
        return cast(BinaryIO, io.BufferedReader(self, _READ))

    def put(self, data: ReadableBuffer) -> None:
        """Add to its end. Raises OSError if the disk is full."""
        left = memoryview(data)
        while left and (room := self.room(len(left))) is not None:
            room[:] = left[: len(room)]
            self.filled(len(room))
            left = left[len(room) :]
        if left:
            self._put_into_file(left)

    def room(self, most: int) -> memoryview | None:
        """Memory behind its end, `most` bytes or fewer, for the caller to fill and to say so; None if there
        is no more, and what follows has to be `put`."""
        if self._file is not None or not (self._in_blocks < BLOCK * len(self._blocks) or self._grow()):
            return None
        at = self._in_blocks % BLOCK
        return memoryview(self._blocks[-1])[at : at + most]

    def filled(self, size: int) -> None:
        """So many bytes of the last `room` are content now."""
        self._in_blocks += size
        self._size += size

    def _grow(self) -> bool:
        """Whether it was lent one block more."""
        block = self._lender.lend()
        if block is not None:
            self._blocks.append(block)
        return block is not None

    def _put_into_file(self, data: memoryview) -> None:
        if self._file is None:
            self._file = cast(BinaryIO, tempfile.TemporaryFile(prefix="superwsgi-body-"))
        self._file.write(data)
        self._size += len(data)

    def close(self) -> None:
        """Discard it."""
        super().close()
        blocks, self._blocks = self._blocks, []
        self._lender.take_back(blocks)
        if self._file is not None:
            with suppress(OSError):  # the rest of its buffer may not fit on the disk
                self._file.close()

    # As the standard library's files, which are documented there.

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check()
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}.get(whence)
        if base is None or base + offset < 0:
            raise ValueError(f"cannot seek to {offset} by {whence}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._check()
        with memoryview(buffer) as whole, whole.cast("B") as room:
            if self._at < self._in_blocks:
                count = self._read_block(room)
            elif self._file is not None and self._at < self._size:
                self._file.seek(self._at - self._in_blocks)
                count = cast(io.BufferedRandom, self._file).readinto(room)
            else:
                count = 0
        self._at += count
        return count

    def _read_block(self, room: memoryview) -> int:
        number, begin = divmod(self._at, BLOCK)
        end = min(BLOCK, begin + len(room), begin + self._in_blocks - self._at)
        with memoryview(self._blocks[number]) as block:
            room[: end - begin] = block[begin:end]
        return end - begin

    def readall(self) -> bytes:
        """With one copy; the standard library's makes three."""
        self._check()
        number, begin = divmod(min(self._at, self._in_blocks), BLOCK)
        views = [memoryview(block) for block in self._blocks[number:]]
        if views:
            views[-1] = views[-1][: self._in_blocks - BLOCK * (len(self._blocks) - 1)]
            views[0] = views[0][begin:]
        rest = b""
        if self._file is not None:
            self._file.seek(max(0, self._at - self._in_blocks))
            rest = self._file.read()
        self._at = max(self._at, self._size)
        return b"".join([*views, rest])

    def _check(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
