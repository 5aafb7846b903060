"""What an application sends on a connection that it has taken over: first the head of its answer, which says
whether the client now speaks another protocol (RFC 9110 section 15.2.2), then, if that is WebSocket, frames.

It is sent as it is. That it is read along tells which status the client got, and where a frame of our own may
stand: between two of the application's (RFC 6455 section 5.4).
"""

from __future__ import annotations

import re
from typing import Final

GOING_AWAY: Final = b"\x88\x02\x03\xe9"
"""A close frame with status 1001: the server goes down (RFC 6455 sections 5.5.1 and 7.4.1)."""

_END: Final = b"\r\n\r\n"
_LONGEST: Final = 64 << 10
"""Bytes of a head; what is longer is not read any further."""

_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-9]\d\d)[ \r]")
_WEBSOCKET: Final = re.compile(rb"\r\nupgrade:[ \t]*websocket[ \t]*\r\n", re.IGNORECASE)

_CLOSE: Final = 8
_LENGTHS: Final = {126: 2, 127: 8}
"""Bytes of the length that follows, by what stands in its place (RFC 6455 section 5.2)."""


class Spoken:
    """`status` is that of the answer, 0 until there is one; `websocket`: frames follow. `closed`: a close
    frame has been sent, after which nothing may come."""

    __slots__ = ("_head", "_left", "_part", "closed", "status", "websocket")

    def __init__(self) -> None:
        self.status = 0
        self.websocket = False
        self.closed = False
        self._head: bytes | None = b""  # of the answer, None once that is complete
        self._part = b""  # of a frame's head
        self._left = 0  # bytes of that frame that are still to come

    def feed(self, data: bytes) -> None:
        """It sends that."""
        if self._head is not None:
            data = self._read_head(self._head + data)
        if self.websocket and data:
            self._read_frames(data)

    @property
    def between(self) -> bool:
        """Whether a frame of our own may follow."""
        return self.websocket and not (self.closed or self._left or self._part)

    def _read_head(self, head: bytes) -> bytes:
        """Returns what follows the head."""
        end = head.find(_END)
        if end < 0 and len(head) < _LONGEST:
            self._head = head
            return b""
        self._head = None
        match = _STATUS.match(head)
        self.status = int(match[1]) if match else 0
        end += len(_END)
        self.websocket = self.status == 101 and _WEBSOCKET.search(head, 0, end) is not None
        return head[end:]

    def _read_frames(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
            else:
                step = self._read_frame_head(data, at)
            at += step

    def _read_frame_head(self, data: bytes, at: int) -> int:
        """Returns how many bytes of `data` belong to it."""
        before = len(self._part)
        end = at + _most(self._part) - before
        part = self._part + data[at:end]
        size = _most(part)
        if len(part) < size:
            self._part = part
            return max(1, len(part) - before)
        self._part = b""
        length = part[1] & 0x7F
        self._left = int.from_bytes(part[2 : 2 + _LENGTHS[length]], "big") if length in _LENGTHS else length
        if part[1] & 0x80:  # a mask, which a server must not send
            self._left += 4
        self.closed = self.closed or part[0] & 0x0F == _CLOSE
        return len(part) - before


def _most(part: bytes) -> int:
    """Bytes of a frame's head, as far as it can be told from a part of it; without the mask."""
    return 2 if len(part) < 2 else 2 + _LENGTHS.get(part[1] & 0x7F, 0)
