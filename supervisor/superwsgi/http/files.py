"""`wsgi.file_wrapper` (PEP 3333 "Optional Platform-Specific File Handling")."""

from __future__ import annotations

import io
import os
import stat
import tempfile
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

# Subclasses may read something else than what their descriptor holds, as gzip does.
_PLAIN: Final = (io.BufferedReader, io.BufferedRandom, io.FileIO)


class FileWrapper:
    """Iterates over a file-like object; the server sends a plain file with sendfile instead."""

    def __init__(self, filelike: Any, block_size: int = 65536) -> None:
        self.filelike = filelike
        self.block_size = block_size
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.filelike.read(self.block_size):
            yield piece


class Span(NamedTuple):
    """Bytes of an open regular file."""

    fd: int
    offset: int
    size: int


def span_of(filelike: Any) -> Span | None:
    """What is left to read in `filelike`; None where it is not a plain file that the kernel can send.

    Raises ValueError where it is closed, OSError where it cannot be read.
    """
    plain = filelike.file if isinstance(filelike, tempfile._TemporaryFileWrapper) else filelike
    if type(plain) not in _PLAIN:
        return None
    if plain.writable():
        plain.flush()
    status = os.fstat(plain.fileno())
    if not stat.S_ISREG(status.st_mode):
        return None
    offset = plain.tell()
    return Span(plain.fileno(), offset, max(0, status.st_size - offset))
