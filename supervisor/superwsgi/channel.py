"""A channel carries messages and descriptors between two of our processes: a SOCK_SEQPACKET pair (unix(7)).

A packet is a whole message; end of file means that the other process is gone. The master's peers run
application code: messages from there may be forged.
"""

from __future__ import annotations

import array
import contextlib
import socket
from collections.abc import Sequence
from typing import Any, Final

from superwsgi import unpatched
from superwsgi.messages import Message, Word, decode, decode_word, encode
from superwsgi.system import credentials

_PACKET: Final = 192 << 10
_MAX_FDS: Final = 250  # SCM_MAX_FD is 253

_SO_PASSRIGHTS: Final = 83
"""Since Linux 6.16; the socket module does not know it."""

CHANNEL_FD = 3
"""Where a freshly executed mold, or admin process, finds its end of the channel."""


class Closed(Exception):
    """The other end is gone."""


class OutOfDescriptors(Exception):
    """There was no room in this process for those of a message, which is lost."""

    def __init__(self) -> None:
        super().__init__("too many open files (ulimit -n)")


class Forged(Exception):
    """A message cannot be genuine; the text says why, `sender` is the process that sent it."""

    def __init__(self, reason: str, sender: int) -> None:
        super().__init__(reason)
        self.sender = sender


class Garbled(Forged):
    """A packet is not a message at all."""


class Channel:
    """One end: the master's hears, the others receive. Blocks or not, as the socket does."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.ended = False  # nothing more will arrive

    @classmethod
    def pair(cls) -> tuple[Channel, socket.socket]:
        """(the master's end, which never blocks; the socket for the other process, which does)."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(_guarded(ours)), theirs

    @classmethod
    def of(cls, fd: int | None) -> Channel:
        """The master's end, by its descriptor; for None, one that is closed already."""
        if fd is None:
            channel, theirs = cls.pair()
            theirs.close()
            channel.close()
            return channel
        sock = socket.socket(fileno=fd)
        sock.set_inheritable(False)
        return cls(_guarded(sock))

    def held(self) -> int | None:
        """Its descriptor, while it is open."""
        return fd if (fd := self.fileno()) >= 0 else None

    def fileno(self) -> int:
        return self._sock.fileno()

    def set_timeout(self, seconds: float) -> None:
        """Block from now on, but no longer than `seconds` (then TimeoutError)."""
        self._sock.settimeout(seconds)

    def offer(self, message: Message) -> None:
        """Send a message if that needs no waiting. Raises BlockingIOError or another OSError."""
        self._sock.sendmsg([encode(message)], [], socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send a message with descriptors. Raises Closed, or BlockingIOError if the other end has stopped
        reading."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._sock.sendmsg([encode(message)], rights, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            raise
        except OSError as error:
            raise Closed from error

    def receive(self) -> tuple[Message, list[int]]:
        """The next message from the master, and its descriptors (close-on-exec).

        Raises Closed, BlockingIOError, OutOfDescriptors, or ValueError for a packet that is not one of our
        messages.
        """
        fds: array.array[int] = array.array("i")
        raw, beside, flags = self._next(_MAX_FDS * fds.itemsize)
        for level, kind, data in beside:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        if not raw:
            raise self._closed()
        try:
            if flags & socket.MSG_CTRUNC:
                raise OutOfDescriptors
            return decode(raw), list(fds)
        except (OutOfDescriptors, ValueError):
            for fd in fds:
                unpatched.close(fd)
            raise

    def hear(self) -> tuple[Word, int]:
        """The next word of a mold or worker, on the master's end, and the process that sent it, according to
        the kernel. There is no room for descriptors, so the kernel drops them.

        Raises Closed, BlockingIOError, Forged, or Garbled.
        """
        raw, beside, flags = self._next(credentials.SIZE)
        if not beside:  # even an empty packet has credentials
            raise self._closed()
        sender = credentials.of_message(beside[0][2]).pid
        if flags & socket.MSG_CTRUNC:
            raise Forged("a message with descriptors", sender)
        if flags & socket.MSG_TRUNC:
            raise Forged(f"a message of more than {_PACKET} bytes", sender)
        try:
            return decode_word(raw), sender
        except (ValueError, RecursionError) as error:
            raise Garbled(f"not one of our messages ({error})", sender) from None

    def _next(self, room: int) -> tuple[bytes, list[tuple[int, int, bytes]], int]:
        """A packet, at most `room` bytes of ancillary data, and flags. Raises Closed, BlockingIOError."""
        beside: list[Any]
        try:
            raw, beside, flags, _ = self._sock.recvmsg(
                _PACKET, socket.CMSG_SPACE(room), socket.MSG_CMSG_CLOEXEC
            )
        except (BlockingIOError, TimeoutError):
            raise
        except OSError:  # reset; or the application has closed or replaced our descriptor
            raise self._closed() from None
        return raw, beside, flags

    def _closed(self) -> Closed:
        self.ended = True
        return Closed()

    def close(self) -> None:
        self._sock.close()


def _guarded(sock: socket.socket) -> socket.socket:
    """The master's end: never blocks, learns who sent each message (SO_PASSCRED, unix(7)), and takes no
    descriptors if the kernel can refuse them: closing one may mean waiting for it (SO_LINGER)."""
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    with contextlib.suppress(OSError):  # an older kernel
        sock.setsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS, 0)
    return sock
