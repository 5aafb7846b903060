"""A request's body on its way in: in memory, and elsewhere once it outgrows what each may keep there."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import BinaryIO

from superwsgi.http.request.large import NOTHING, Large, Lender


class Body:
    """Collects a body in memory up to `memory` bytes. A larger one is kept in what `lender` lends, and in an
    unnamed file."""

    __slots__ = ("_large", "_lender", "_memory", "file", "size")

    def __init__(self, memory: int, lender: Lender = NOTHING) -> None:
        self._memory = memory
        self._lender = lender
        self._large: Large | None = None
        self.file: BinaryIO = io.BytesIO()
        self.size = 0

    def write(self, data: bytes | bytearray) -> None:
        """Raises OSError if the disk is full."""
        if self._large is None and self.size + len(data) > self._memory:
            self._outgrow()
        if self._large is not None:
            self._large.put(data)
        else:
            self.file.write(data)
        self.size += len(data)

    def room(self, most: int) -> memoryview | None:
        """Memory to receive the next bytes into, `most` of them or fewer; None if they have to be written."""
        return None if self._large is None else self._large.room(most)

    def filled(self, size: int) -> None:
        """So many bytes are there now."""
        assert self._large is not None
        self._large.filled(size)
        self.size += size

    def close(self) -> None:
        """Discard it."""
        with suppress(ValueError):  # the application has detached its buffer
            self.file.close()
        if self._large is not None:
            self._large.close()

    def _outgrow(self) -> None:
        kept = self.file
        self._large = large = Large(self._lender)
        self.file = large.reader()
        if self.size:
            assert isinstance(kept, io.BytesIO)
            large.put(kept.getbuffer())
