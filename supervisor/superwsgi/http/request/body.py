"""A request's body on its way in: in memory, in a temporary file once it outgrows that."""

from __future__ import annotations

import io
import tempfile
from contextlib import suppress
from typing import BinaryIO, cast


class Body:
    """Collects a body of at most `memory` bytes in memory, beyond that in a file without a name."""

    __slots__ = ("_memory", "file", "size")

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self.file: BinaryIO = io.BytesIO()
        self.size = 0

    def write(self, data: bytes | bytearray) -> None:
        """Raises OSError if the disk is full."""
        if self.size <= self._memory < self.size + len(data):
            self._spill()
        self.file.write(data)
        self.size += len(data)

    def close(self) -> None:
        """Nobody will read it any more."""
        with suppress(OSError):  # what its buffer still held does not fit the disk
            self.file.close()

    def _spill(self) -> None:
        spilled = cast(BinaryIO, tempfile.TemporaryFile(prefix="superwsgi-body-"))
        spilled.write(cast(io.BytesIO, self.file).getvalue())
        self.file = spilled
