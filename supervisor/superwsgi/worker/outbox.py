"""What a client has not yet taken of its response: bytes in memory, then a temporary file, and files to send.

A slow client must hold no thread, so an application's output is taken off its hands as it comes. Only one
that runs far ahead of its client is made to wait (see `full`). The caller holds the connection's write lock.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections import deque
from typing import BinaryIO, Final, cast

from superwsgi.http.files import Span
from superwsgi.worker.transport import Out

MEMORY: Final = 1 << 20
"""Streamed bytes kept in memory a connection; a temporary file takes the rest. One piece may be larger."""

AHEAD: Final = 128 << 20
"""Bytes that an application may be ahead of its client; an endless stream must not fill the disk."""

TURN: Final = 1 << 20
"""Bytes sent at a stretch, so that one fast download does not keep the others waiting."""

PIECE: Final = 256 << 10
"""Bytes of a file that are read at once, where the kernel cannot send it by itself."""


class Outbox:
    """A queue of parts, sent in order."""

    __slots__ = ("_parts", "_spool", "_spooled", "size")

    def __init__(self) -> None:
        self._parts: deque[memoryview | Span] = deque()
        self._spool: BinaryIO | None = None
        self._spooled = 0  # where the spool's next byte goes
        self.size = 0  # bytes still to be sent

    def __bool__(self) -> bool:
        return self.size > 0

    @property
    def full(self) -> bool:
        return self.size > AHEAD

    def put(self, data: bytes | memoryview) -> None:
        if self.size and self.size + len(data) > MEMORY:
            self._spill(data)
        else:
            self._parts.append(memoryview(data))
        self.size += len(data)

    def put_file(self, span: Span) -> None:
        """The descriptor is duplicated: the application closes its own."""
        self._parts.append(span._replace(fd=os.dup(span.fd)))
        self.size += span.size

    def flush(self, out: Out) -> bool:
        """Send, at most TURN bytes; True where the client would take more now. Raises OSError."""
        sent = 0
        try:
            while self._parts and sent < TURN:
                sent += self._send_first(out)
        except BlockingIOError:
            return False
        return True

    def clear(self) -> None:
        """Give up what has not been sent."""
        while self._parts:
            self._drop_first()
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        self.size = 0

    def _send_first(self, out: Out) -> int:
        part = self._parts[0]
        if isinstance(part, Span):
            count = self._send_span(out, part)
        else:
            count = out.send(part[:TURN])
            self._parts[0] = part[count:]
            if count == len(part):
                self._parts.popleft()
        self.size -= count
        if not self._parts:
            self.clear()
        return count

    def _send_span(self, out: Out, span: Span) -> int:
        if isinstance(out, socket.socket):
            count = os.sendfile(out.fileno(), span.fd, span.offset, min(span.size, TURN))
        else:  # the kernel cannot encrypt
            count = out.send(os.pread(span.fd, min(span.size, PIECE), span.offset))
        if count == 0:
            raise OSError("file shorter than it was")
        self._parts[0] = Span(span.fd, span.offset + count, span.size - count)
        if count == span.size:
            self._drop_first()
        return count

    def _spill(self, piece: bytes | memoryview) -> None:
        data = memoryview(piece)
        if self._spool is None:
            self._spool = cast(BinaryIO, tempfile.TemporaryFile(prefix="superwsgi-out-", buffering=0))
            self._spooled = 0
        fd, written = self._spool.fileno(), 0
        while written < len(data):  # a full disk takes a part before it takes no more
            written += os.pwrite(fd, data[written:], self._spooled + written)
        self._parts.append(Span(fd, self._spooled, len(data)))
        self._spooled += len(data)

    def _drop_first(self) -> None:
        part = self._parts.popleft()
        if isinstance(part, Span) and (self._spool is None or part.fd != self._spool.fileno()):
            os.close(part.fd)
