"""`wsgi.file_wrapper` (PEP 3333 "Optional Platform-Specific File Handling")."""

from __future__ import annotations

import io
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

# Subclasses may return something else than the content of their descriptor, as gzip does.
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


class Unreadable(OSError):
    """A file that is being sent has become shorter, or cannot be read: not its client's fault."""


class Span(NamedTuple):
    """Bytes of an open regular file."""

    fd: int
    offset: int
    size: int


def span_of(filelike: Any) -> Span | None:
    """What is left to read in `filelike`; None if it is not a plain file that the kernel can send, or may be
    one without a known size, such as those in /proc.

    Raises ValueError if it is closed, OSError if it cannot be read.
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
    size = status.st_size - offset
    return Span(plain.fileno(), offset, size) if size > 0 else None


def read_span(span: Span) -> bytes:
    """As much of it as one read returns. Raises Unreadable."""
    try:
        data = os.pread(span.fd, span.size, span.offset)
    except OSError as error:
        raise Unreadable(f"file cannot be read: {path_of(span.fd)}: {error.strerror}") from None
    if not data:
        raise Unreadable(f"file shorter than it was: {path_of(span.fd)} ends at byte {span.offset}")
    return data


def path_of(fd: int) -> str:
    """The path of an open file, according to proc_pid_fd(5); for logs."""
    try:
        return str(Path(f"/proc/self/fd/{fd}").readlink())
    except OSError:
        return f"descriptor {fd}"
