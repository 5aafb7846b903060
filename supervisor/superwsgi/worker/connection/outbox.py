"""The part of a response that its client has not taken yet: bytes in memory, then temporary files, and files
to send.

A slow client must not hold a thread, so an application's output is taken off its hands as it comes. The cost
of that is bounded, per connection and per worker: an application that is too far ahead of its client waits
for it (see `full` and `strained`). The caller holds the sender's lock.
"""

from __future__ import annotations

import os
import tempfile
from typing import BinaryIO, Final, cast

from superwsgi import unpatched
from superwsgi.http.files import Span, read_span
from superwsgi.tls.interface import Out
from superwsgi.worker.connection.storage import Stores

SMALL: Final = 64 << 10
"""Bytes that each connection may keep in memory, regardless of the others."""

MEMORY: Final = 1 << 20
"""Streamed bytes kept in memory per connection; temporary files take the rest. One piece may be larger."""

AHEAD: Final = 128 << 20
"""Bytes that an application may be ahead of its client, for streams without end. At least twice the usual
size of finite streams, so that threads are free for others while slow clients take those."""

SEGMENT: Final = 32 << 20
"""Bytes in one temporary file. It is removed once it has been sent, so that a stream that is always a little
ahead of its client does not grow a file forever."""

TURN: Final = 1 << 20
"""Bytes sent in one go, so that one fast download does not keep the others waiting."""

PIECE: Final = 256 << 10
"""Bytes of a file that are read at a time, if the kernel cannot send it by itself."""

_JOINED: Final = 16 << 10
"""Pieces smaller than this are joined: an object for each would take more memory than its bytes."""

_LARGE: Final = 256 << 10
"""Pieces of at least this size are accounted for as objects, which many responses may share."""


class Loan:
    """Bytes of an object that the stores have lent room for, and how many of them are left to send."""

    __slots__ = ("left", "thing")

    def __init__(self, thing: bytes, left: memoryview) -> None:
        self.thing = thing
        self.left = left


class Segment:
    """A temporary file, `end` bytes of which are written and the first `start` of them sent."""

    __slots__ = ("end", "file", "start")

    def __init__(self) -> None:
        self.file = cast(BinaryIO, tempfile.TemporaryFile(prefix="superwsgi-out-", buffering=0))
        self.start = self.end = 0


class Outbox:
    """A queue of parts, sent in order."""

    __slots__ = ("_borrowed", "_in_memory", "_parts", "_stores", "bulky", "sent", "size")

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._parts: list[memoryview | bytearray | Loan | Span | Segment] = []
        self._in_memory = 0
        self._borrowed = 0  # from the memory that all share
        self.bulky = False  # the current response fills files, or is expected to
        self.size = 0  # bytes still to be sent
        self.sent = 0  # bytes that were kept first and sent later

    @property
    def full(self) -> bool:
        """Whether the application has to wait before it sends more."""
        return self.size > AHEAD or self._in_memory > SMALL + self._borrowed

    @property
    def strained(self) -> bool:
        """Whether it has to wait even if it has nothing more to send: only memory was left to keep things."""
        return self._in_memory > SMALL + self._borrowed

    def put(self, data: bytes | memoryview) -> None:
        left = memoryview(data)
        kept = 0
        if self._spilling(len(data)):
            kept = self._spill(left)
        elif len(data) >= _LARGE:
            kept = self._keep_object(left) or self._spill(left)
        elif not self._borrow(len(data)):
            kept = self._spill(left)
        left = left[kept:]
        if left:
            self._borrow(len(left))
            self._keep(left)
        self.size += len(data)

    def put_file(self, span: Span) -> None:
        """Queue a file. Its descriptor is duplicated, as the application closes its own. Raises OSError."""
        self._parts.append(span._replace(fd=os.dup(span.fd)))
        self.size += span.size

    def flush(self, out: Out) -> bool:
        """Send at most TURN bytes; True if the client would take more now.

        Raises OSError if the client has gone, Unreadable if a file is not what it was.
        """
        sent = 0
        try:
            while self._parts and sent < TURN:
                sent += self._send_first(out)
        except BlockingIOError:
            return False
        return True

    def clear(self) -> None:
        """Drop everything that has not been sent."""
        while self._parts:
            self._drop_first()
        self._return_memory(self._in_memory)
        self.size = 0

    def close_in_child(self) -> None:
        """In a child that the application forked: without the stores, whose locks may be held forever."""
        for part in self._parts:
            if isinstance(part, Span):
                unpatched.close(part.fd)
            elif isinstance(part, Segment):
                part.file.close()
        self._parts.clear()
        self.size = self._in_memory = self._borrowed = 0

    # In memory.

    def _spilling(self, size: int) -> bool:
        """Whether `size` more bytes go to a file, as they all do once something is in one."""
        if self._parts and isinstance(self._parts[-1], Segment):
            return True
        return self.size > 0 and self.size + size > MEMORY

    def _borrow(self, size: int) -> bool:
        """Whether there is memory for `size` more bytes."""
        wanted = self._in_memory + size - SMALL - self._borrowed
        if wanted > 0:
            if not self._stores.memory.reserve(wanted):
                return False
            self._borrowed += wanted
        return True

    def _keep_object(self, data: memoryview) -> int:
        """Keep the object that these bytes belong to, if there is memory for it; returns how many bytes."""
        thing = cast(bytes, data.obj)
        if not self._stores.lend(thing):
            return 0
        self._parts.append(Loan(thing, data))
        return len(data)

    def _keep(self, data: memoryview) -> None:
        self._in_memory += len(data)
        last = self._parts[-1] if self._parts else None
        if len(data) >= _JOINED:
            self._parts.append(data)
        elif isinstance(last, bytearray) and len(last) < _JOINED:
            last += data
        else:
            self._parts.append(bytearray(data))

    def _return_memory(self, size: int) -> None:
        self._in_memory -= size
        unneeded = self._borrowed - max(0, self._in_memory - SMALL)
        if unneeded > 0:
            self._borrowed -= unneeded
            self._stores.memory.give_back(unneeded)

    # In temporary files.

    @property
    def in_files(self) -> bool:
        """Whether some of it is."""
        return any(isinstance(part, Segment) for part in self._parts)

    def be_bulky(self) -> None:
        if not self.bulky:
            self.bulky = True
            self._stores.bulk.begin(self)

    def end_bulk(self, kind: str, now: int) -> None:
        """The application is done with the response to a request for `path`."""
        self.bulky = False
        self._stores.bulk.end(self, kind, self.in_files, now)

    def _spill(self, data: memoryview) -> int:
        """Write to files, as far as there is room; returns how many bytes."""
        if not self._stores.files.reserve(len(data)):
            return 0
        self.be_bulky()
        if len(data) < MEMORY:
            return self._write_all(data)
        with self._stores.bulk.turn:
            return self._write_all(data)

    def _write_all(self, data: memoryview) -> int:
        """Write as much as the disk has room for."""
        written = 0
        try:
            while written < len(data):
                written += self._write(data[written:])
        except OSError as error:
            self._stores.on_trouble(error)
            self._stores.files.give_back(len(data) - written)
        return written

    def _write(self, data: memoryview) -> int:
        """A disk that is filling up takes a part first, then nothing. Raises OSError."""
        last = self._parts[-1] if self._parts else None
        if not isinstance(last, Segment) or last.end >= SEGMENT:
            last = Segment()
            self._parts.append(last)
        count = os.pwrite(last.file.fileno(), data[: SEGMENT - last.end], last.end)
        last.end += count
        return count

    # Out.

    def _send_first(self, out: Out) -> int:
        part = self._parts[0]
        if isinstance(part, Span):
            count = self._send_span(out, part)
        elif isinstance(part, Segment):
            count = self._send_segment(out, part)
        elif isinstance(part, Loan):
            count = self._send_loan(out, part)
        else:
            count = self._send_bytes(out, part)
        self.size -= count
        self.sent += count
        return count

    def _send_bytes(self, out: Out, part: memoryview | bytearray) -> int:
        count = out.send(bytes(part) if isinstance(part, bytearray) else part[:TURN])
        self._return_memory(count)
        if count == len(part):
            del self._parts[0]
        elif isinstance(part, bytearray):
            del part[:count]
        else:
            self._parts[0] = part[count:]
        return count

    def _send_loan(self, out: Out, loan: Loan) -> int:
        count = out.send(loan.left[:TURN])
        loan.left = loan.left[count:]
        if not loan.left:
            self._drop_first()
        return count

    def _send_span(self, out: Out, span: Span) -> int:
        count = _send_file(out, span)
        self._parts[0] = Span(span.fd, span.offset + count, span.size - count)
        if count == span.size:
            self._drop_first()
        return count

    def _send_segment(self, out: Out, segment: Segment) -> int:
        left = segment.end - segment.start
        count = _send_file(out, Span(segment.file.fileno(), segment.start, left)) if left else 0
        segment.start += count
        if count == left:
            self._drop_first()
        return count

    def _drop_first(self) -> None:
        part = self._parts.pop(0)
        if isinstance(part, Span):
            unpatched.close(part.fd)
        elif isinstance(part, Segment):
            part.file.close()
            self._stores.files.give_back(part.end)
        elif isinstance(part, Loan):
            self._stores.take_back(part.thing)


def _send_file(out: Out, span: Span) -> int:
    """Raises OSError for the client, Unreadable for the file: an error of sendfile(2) may concern either."""
    if isinstance(out, unpatched.BareSocket):
        try:
            count = os.sendfile(out.fileno(), span.fd, span.offset, min(span.size, TURN))
        except (BlockingIOError, ConnectionError):
            raise
        except OSError:
            count = 0
        if count:
            return count
    return out.send(read_span(span._replace(size=min(span.size, PIECE))))  # the kernel cannot encrypt either
