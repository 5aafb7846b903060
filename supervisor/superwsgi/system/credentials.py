"""Who is at the other end of a unix socket, by the kernel's word: struct ucred of unix(7)."""

from __future__ import annotations

import socket
import struct
from typing import Final, NamedTuple

_UCRED: Final = struct.Struct("iII")

SIZE: Final = _UCRED.size
"""Bytes, of SCM_CREDENTIALS beside a message."""


class Credentials(NamedTuple):
    """Process (0 where it is none of this pid namespace's, pid_namespaces(7)), user and group."""

    pid: int
    uid: int
    gid: int


def of_message(beside: bytes) -> Credentials:
    """Of the sender of a message, from SCM_CREDENTIALS."""
    return Credentials(*_UCRED.unpack(beside))


def of_peer(sock: socket.socket) -> Credentials:
    """Of the process that has connected, or that listens where this socket has connected (SO_PEERCRED)."""
    return Credentials(*_UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, SIZE)))
