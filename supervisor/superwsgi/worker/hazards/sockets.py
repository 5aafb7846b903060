"""Sockets: what each one is, and which of them forks may share."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Final, TypeVar

from superwsgi import unpatched

_T = TypeVar("_T")

_STREAMS: Final = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)
_PAIRED: Final = "one end of a socket pair"
_DATAGRAMS: Final = "a datagram socket"


def receives_nothing(fd: int) -> bool:
    """Whether it only sends datagrams that nobody can answer: it has no name (unix(7)) and is not one of a
    pair. syslog(3) uses such a socket."""

    def has_no_name(sock: socket.socket) -> bool:
        is_local = sock.family == socket.AF_UNIX and sock.type == socket.SOCK_DGRAM
        return is_local and not sock.getsockname() and _peer(sock) != ""

    return _ask(fd, has_no_name, False)


def is_datagram(fd: int) -> bool:
    return _ask(fd, lambda sock: sock.type == socket.SOCK_DGRAM, False)


def describe(fd: int) -> str:
    return _ask(fd, _describe, "a socket")


def _describe(sock: socket.socket) -> str:
    if sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        return f"a socket of {getattr(sock.family, 'name', f'family {sock.family}')}"
    if sock.type not in (*_STREAMS, socket.SOCK_DGRAM):
        return "a raw socket"
    is_stream = sock.type in _STREAMS
    if is_stream and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return f"a listening socket on {_spell(sock.getsockname())}"
    peer = _peer(sock)
    if peer == "":
        return _PAIRED
    if peer is not None:
        return f"{'a connection' if is_stream else _DATAGRAMS} to {_spell(peer)}"
    return "an unconnected socket" if is_stream else _bound(sock)


def _bound(sock: socket.socket) -> str:
    name = sock.getsockname()
    is_bound = name[1] if isinstance(name, tuple) else name
    return f"{_DATAGRAMS} on {_spell(name)}" if is_bound else _DATAGRAMS


def _peer(sock: socket.socket) -> object:
    """None if it is not connected, empty if the other end has no name."""
    try:
        return sock.getpeername() or ""
    except OSError:
        return None


def _spell(address: object) -> str:
    if isinstance(address, tuple):
        host, port, *_ = address
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    if isinstance(address, bytes):  # unix(7): abstract
        return address.decode(errors="backslashreplace").replace("\0", "@")
    return str(address)


def _ask(fd: int, question: Callable[[socket.socket], _T], otherwise: _T) -> _T:
    """`question`'s result for a duplicate of the socket; `otherwise` if it is gone or cannot be asked."""
    try:
        with unpatched.Socket(fileno=os.dup(fd)) as sock:
            return question(sock)
    except OSError:
        return otherwise
