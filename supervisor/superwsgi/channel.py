"""A channel carries messages and descriptors between two of our processes: a SOCK_SEQPACKET pair (unix(7)).

A packet is a message, whole or not at all; end of file means that the other process is gone.
"""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Sequence

from superwsgi.messages import Message, decode, encode

_PACKET = 192 << 10
_MAX_FDS = 250  # SCM_MAX_FD is 253


MOLD_FD = 3
"""Where a freshly executed mold finds its end of the channel."""


class Closed(Exception):
    """The other end is gone."""


class Channel:
    """One end. `send` and `receive` block or not as the socket does; both raise Closed."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.ended = False  # nothing more will be received

    @classmethod
    def pair(cls) -> tuple[Channel, socket.socket]:
        """(the master's end, which never blocks; the socket for the other process, which does)."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        return cls(ours), theirs

    @classmethod
    def of(cls, fd: int | None) -> Channel:
        """The master's end, by its descriptor; one that is closed already for None."""
        if fd is None:
            channel, theirs = cls.pair()
            theirs.close()
            channel.close()
            return channel
        sock = socket.socket(fileno=fd)
        sock.set_inheritable(False)
        sock.setblocking(False)
        return cls(sock)

    def held(self) -> int | None:
        """Its descriptor, while it is open."""
        return fd if (fd := self.fileno()) >= 0 else None

    def fileno(self) -> int:
        return self._sock.fileno()

    def set_timeout(self, seconds: float) -> None:
        """Block from now on, but never longer than `seconds` (then TimeoutError)."""
        self._sock.settimeout(seconds)

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send a message with descriptors. Raises Closed, or BlockingIOError where the other end has stopped
        reading."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._sock.sendmsg([encode(message)], rights, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            raise
        except OSError as error:
            raise Closed from error

    def receive(self) -> tuple[Message, list[int]]:
        """The next message and its descriptors (close-on-exec).

        Raises Closed, BlockingIOError, or ValueError for a packet that is no message of ours.
        """
        fds: array.array[int] = array.array("i")
        try:
            raw, rights, _, _ = self._sock.recvmsg(
                _PACKET, socket.CMSG_SPACE(_MAX_FDS * fds.itemsize), socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            raw = b""
        if not raw:
            self.ended = True
            raise Closed
        for level, kind, data in rights:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        try:
            return decode(raw), list(fds)
        except ValueError:
            for fd in fds:
                os.close(fd)
            raise

    def close(self) -> None:
        self._sock.close()
