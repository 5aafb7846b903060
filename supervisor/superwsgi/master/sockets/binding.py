"""Binding sockets: system calls, and what their errors mean to an operator. sockets.py decides which ones are
bound.
"""

from __future__ import annotations

import contextlib
import encodings.idna  # noqa: F401 - for host names in a later site file: Python may be gone from the disk then
import errno
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

from superwsgi.config.listening import Address, TcpAddress, UnixAddress
from superwsgi.config.schema import Site
from superwsgi.log.files import try_making
from superwsgi.master.sockets import socket_file
from superwsgi.master.sockets.inherited import NotInherited
from superwsgi.master.sockets.listener import Endpoint, Listener
from superwsgi.master.sockets.socket_file import NotOurs, SocketFile
from superwsgi.system.privileges import PrivilegeError, account, group_id


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
