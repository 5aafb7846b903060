"""A request's body on its way in: in memory, in a temporary file once it outgrows that."""

from __future__ import annotations

import io
import tempfile
from contextlib import suppress
from typing import BinaryIO, cast


class Body:
    """Collects a body in memory up to `memory` bytes, and in an unnamed file beyond that."""

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
        """Discard it."""
        with suppress(OSError):  # the rest of its buffer may not fit on the disk
            self.file.close()

    def _spill(self) -> None:
        spilled = cast(BinaryIO, tempfile.TemporaryFile(prefix="superwsgi-body-"))
        spilled.write(cast(io.BytesIO, self.file).getvalue())
        self.file = spilled
