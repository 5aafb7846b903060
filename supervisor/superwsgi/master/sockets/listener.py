"""A listening socket, as the master holds it."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, NamedTuple

from superwsgi.config.listening import Address, InheritedAddress, TcpAddress, speaks_tls
from superwsgi.master.handover import HeldListener
from superwsgi.master.sockets.socket_file import SocketFile
from superwsgi.system.deaf import is_deaf

_WILDCARDS: Final = ("0.0.0.0", "::")


class Endpoint(NamedTuple):
    """A TCP address as bind(2) sees it: digits and port, for IPv6 flow and scope too."""

    family: int
    where: tuple[Any, ...]

    @property
    def host(self) -> str:
        return str(self.where[0])

    @property
    def port(self) -> int:
        return int(self.where[1])

    @classmethod
    def of(cls, sock: socket.socket) -> Endpoint | None:
        """None for a unix socket."""
        return cls(sock.family, sock.getsockname()) if sock.family != socket.AF_UNIX else None

    def covers(self, other: Endpoint | None) -> bool:
        """Whether it is the wildcard of the other's port."""
        wild = self.host in _WILDCARDS and other is not None and other.host not in _WILDCARDS
        return wild and other is not None and (self.family, self.port) == (other.family, other.port)

    def overlaps(self, other: Endpoint | None) -> bool:
        """Whether one of them is the other's wildcard."""
        return other is not None and (self.covers(other) or other.covers(self))


class Damage(Enum):
    """What can be wrong with a listener, in the log's words."""

    BLOCKING = "made blocking"
    DEAF = "shut down"


@dataclass(frozen=True, slots=True)
class Listener:
    """A bound, listening, non-blocking socket. `file` is a unix socket's file. Mode, owner and the like of
    `address` may change from one generation to the next; it is still the same listener."""

    address: Address = field(compare=False)
    sock: socket.socket
    file: SocketFile | None = None

    @classmethod
    def restore(cls, held: HeldListener, sock: socket.socket) -> Listener:
        file = None if held.file is None else SocketFile(*held.file)
        return cls(held.address, sock, file)

    def hold(self) -> HeldListener:
        """What the next program of this process needs to know of it."""
        file = None if self.file is None else (self.file.path, self.file.device, self.file.inode)
        return HeldListener(self.address, self.sock.fileno(), file)

    def is_ours(self) -> bool:
        """Whether it is ours to close: a socket that we were started with is not."""
        return not isinstance(self.address, InheritedAddress)

    def endpoint(self) -> Endpoint | None:
        """Where a TCP socket is bound."""
        return Endpoint.of(self.sock)

    def can_be_reached(self) -> bool:
        """Whether a unix socket's file is still there, and still ours."""
        return self.file is None or self.file.is_there()

    def __str__(self) -> str:
        """Where to reach it, as a URL if there is one, with the port that the kernel chose for port 0."""
        endpoint = self.endpoint()
        if endpoint is None:
            return f"unix:{self.sock.getsockname()}"
        scheme = "https" if speaks_tls(self.address) else "http"
        return f"{scheme}://{TcpAddress(endpoint.host, endpoint.port)}"

    def damage(self) -> list[Damage]:
        """What code in a worker has done to the socket, which all processes share."""
        if self.sock.fileno() < 0:
            return []
        found = {Damage.BLOCKING: os.get_blocking(self.sock.fileno()), Damage.DEAF: is_deaf(self.sock)}
        return [damage for damage in found if found[damage]]

    def stop_listening(self) -> None:
        """Refuse new clients from now on, in every process that has it open: shutdown(2) affects them all."""
        with contextlib.suppress(OSError):  # closed, or not listening
            self.sock.shutdown(socket.SHUT_RDWR)

    def close(self, *, stored: bool = False) -> None:
        """Close it, and remove a unix socket's file if that is still ours, unless the socket is `stored` for
        the next start."""
        if not stored and self.sock.fileno() >= 0 and self.file is not None:
            self.file.remove()
        self.sock.close()
