"""A listening socket, as the master holds it: how it is bound, what an error then means to an operator, what
can be wrong with it later, and how it is closed. sockets.py decides which ones there are.
"""

from __future__ import annotations

import contextlib
import encodings.idna  # noqa: F401 - for host names in a later site file: Python may be gone from the disk then
import errno
import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final, NamedTuple

from superwsgi.config.listening import Address, InheritedAddress, TcpAddress, UnixAddress, speaks_tls
from superwsgi.config.schema import Site
from superwsgi.log.files import try_making
from superwsgi.master.handover import HeldListener
from superwsgi.master.sockets import socket_file
from superwsgi.master.sockets.inherited import NotInherited
from superwsgi.master.sockets.socket_file import NotOurs, SocketFile
from superwsgi.system.deaf import is_deaf
from superwsgi.system.privileges import PrivilegeError, account, group_id

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

    BLOCKING = "made blocking by the application"
    DEAF = "shut down by the application"
    REMOVED = "its file was removed"


@dataclass(frozen=True, slots=True)
class Listener:
    """A bound, listening, non-blocking socket. `file` is a unix socket's file; `checks`: it answers health
    checks and nothing else. That, and mode, owner and the like of `address`, may change from one generation
    to the next; it is still the same listener."""

    address: Address = field(compare=False)
    sock: socket.socket
    file: SocketFile | None = None
    checks: bool = field(default=False, compare=False)

    @classmethod
    def restore(cls, held: HeldListener, sock: socket.socket) -> Listener:
        file = None if held.file is None else SocketFile(*held.file)
        return cls(held.address, sock, file, held.checks)

    def hold(self) -> HeldListener:
        """What the next program of this process needs to know of it."""
        file = None if self.file is None else (self.file.path, self.file.device, self.file.inode)
        return HeldListener(self.address, self.sock.fileno(), file, self.checks)

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
        """What code in a worker has done to the socket, which all processes share, and anybody to its
        file."""
        if self.sock.fileno() < 0:
            return []
        found = {
            Damage.BLOCKING: os.get_blocking(self.sock.fileno()),
            Damage.DEAF: is_deaf(self.sock),
            Damage.REMOVED: not self.can_be_reached(),
        }
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


def secured(listeners: Iterable[Listener]) -> tuple[bool, ...]:
    """For each, whether it speaks TLS."""
    return tuple(speaks_tls(listener.address) for listener in listeners)


def for_checks(listeners: Iterable[Listener]) -> tuple[bool, ...]:
    """For each, whether it is for health checks alone."""
    return tuple(listener.checks for listener in listeners)


# Binding one.


class BindError(Exception):
    """An address could not be bound; the text names it, the reason and what to do."""


class InUse(BindError):
    """Something that we must not remove is at the path of a socket."""


@contextlib.contextmanager
def explained(address: Address) -> Iterator[None]:
    """Turn the system's errors into a BindError."""
    try:
        yield
    except NotOurs as error:
        raise InUse(f"cannot bind {address}: {error}") from None
    except (PrivilegeError, NotInherited) as error:
        raise BindError(f"cannot bind {address}: {error}") from None
    except socket.gaierror as error:
        raise BindError(f"cannot bind {address}: host name not known ({error.strerror})") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise BindError(f"cannot bind {address}: {reason}{_advice(error)}") from None


def _advice(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return ": another program listens there; `ss -ltnp` names it"
    if error.errno == errno.EACCES:
        return ": ports below 1024 need root or CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return ": no network interface of this machine has this address"
    return ""


def endpoint_of(address: TcpAddress) -> Endpoint:
    found = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
    )
    family, _, _, _, where = min(found, key=lambda info: info[0] != socket.AF_INET)
    return Endpoint(family, where)


def bind_tcp(
    address: TcpAddress, site: Site, already: Iterable[Listener], leftover: Iterable[socket.socket]
) -> Listener:
    """Bind and listen. `leftover` are sockets of an earlier start, which systemd may hold a moment longer.

    Raises BindError, OSError.
    """
    endpoint = endpoint_of(address)
    _refuse_to_narrow(endpoint, already)
    sock = socket.socket(endpoint.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
        if endpoint.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        beside = [old.sock for old in already if endpoint.covers(old.endpoint())]
        beside += [old for old in leftover if endpoint.overlaps(Endpoint.of(old))]
        with _sharing_port([sock, *beside] if beside else []):
            sock.bind(endpoint.where)
            sock.listen(site.limits.backlog)
    except BaseException:
        sock.close()
        raise
    return Listener(address, sock)


def _refuse_to_narrow(endpoint: Endpoint, already: Iterable[Listener]) -> None:
    """A change from 0.0.0.0:80 to 127.0.0.1:80 would close a listener while clients wait there."""
    for old in already:
        wild = old.endpoint()
        if wild is not None and wild.covers(endpoint):
            raise BindError(
                f"cannot bind {TcpAddress(endpoint.host, endpoint.port)}: {old.address} of this site listens "
                "there and cannot be narrowed without refusing clients; restart the site for that"
            )


@contextlib.contextmanager
def _sharing_port(socks: list[socket.socket]) -> Iterator[None]:
    """Let bind(2) accept a wildcard beside another address. Only for this block: SO_REUSEPORT (socket(7))
    lets any other program of the same user do the same."""
    try:
        for sock in socks:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        yield
    finally:
        for sock in socks:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)


def bind_unix(address: UnixAddress, site: Site) -> Listener:
    return _listen_at(address, owner_of(address, site), site.limits.backlog)


def bind_private(path: str, backlog: int) -> Listener:
    """A unix socket to which only our own user and root may connect. Raises BindError."""
    address = UnixAddress(path, mode=0o600)
    with explained(address):
        return _listen_at(address, (-1, -1), backlog)


def check_private(path: str) -> None:
    """Find out whether `bind_private` would succeed. Raises BindError."""
    address = UnixAddress(path)
    with explained(address):
        socket_file.check(path)
        try_making(Path(path).parent)


def _listen_at(address: UnixAddress, owner: tuple[int, int], backlog: int) -> Listener:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener = Listener(address, sock, SocketFile.bind(sock, address.path))
    except BaseException:
        sock.close()
        raise
    try:
        own(listener, owner)
        sock.listen(backlog)
    except BaseException:
        listener.close()
        raise
    return listener


def own(listener: Listener, owner: tuple[int, int]) -> None:
    """Give a unix socket's file its owner and mode. Raises NotOurs, OSError."""
    assert isinstance(listener.address, UnixAddress)
    assert listener.file is not None
    listener.file.give(owner, listener.address.mode)


def owner_of(address: UnixAddress, site: Site) -> tuple[int, int]:
    """User and group for chown(2), by default those of the workers. Raises PrivilegeError."""
    owner, group = address.owner or site.user, address.group or site.group
    uid = account(owner).uid if owner else -1
    gid = group_id(group) if group else account(owner).gid if owner else -1
    return uid, gid
