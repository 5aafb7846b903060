"""The listening sockets. They belong to the master from the first start to the last stop: a reload keeps
those whose address stays, binds what is new, and changes or closes what it must only once it has succeeded.

From 127.0.0.1:80 to 0.0.0.0:80 both are open from then on. The kernel gives a connection to the listener with
the most exact address, so closing that one would refuse whoever waits there; kept, it is served as before.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from superwsgi.config.schema import Address, InheritedAddress, Site, TcpAddress, UnixAddress, speaks_tls
from superwsgi.log.files import try_making
from superwsgi.master.handover import HeldListener
from superwsgi.master.inherited import STORED, Inherited, NotInherited
from superwsgi.worker.privileges import PrivilegeError, account, group_id

OwnAddress = TcpAddress | UnixAddress

_WILDCARDS: Final = ("0.0.0.0", "::")


class BindError(Exception):
    """An address could not be bound; the text names it, the reason and what to do."""


class Place(NamedTuple):
    """A TCP address as bind(2) sees it: digits and port, for IPv6 flow and scope too."""

    family: int
    where: tuple[Any, ...]

    @property
    def host(self) -> str:
        return str(self.where[0])

    @property
    def port(self) -> int:
        return int(self.where[1])

    def covers(self, other: Place | None) -> bool:
        """Whether it is the wildcard of the other's port."""
        wild = self.host in _WILDCARDS and other is not None and other.host not in _WILDCARDS
        return wild and other is not None and (self.family, self.port) == (other.family, other.port)


@dataclass(frozen=True, slots=True)
class Listener:
    """A bound, listening, non-blocking socket. `inode` is that of a unix socket's file. What is said at
    `address` may change from one generation to the next, and it is the same listener still."""

    address: Address = field(compare=False)
    sock: socket.socket
    inode: int | None = None

    @classmethod
    def restore(cls, held: HeldListener, sock: socket.socket) -> Listener:
        return cls(held.address, sock, held.inode)

    def hold(self) -> HeldListener:
        """What the next program of this process needs of it."""
        return HeldListener(self.address, self.sock.fileno(), self.inode)

    def is_ours(self) -> bool:
        """Whether it is ours to close: what we were started with is not."""
        return not isinstance(self.address, InheritedAddress)

    def place(self) -> Place | None:
        """Where a TCP socket is bound."""
        tcp = self.sock.family != socket.AF_UNIX
        return Place(self.sock.family, self.sock.getsockname()) if tcp else None

    def can_be_reached(self) -> bool:
        """Whether a unix socket's file is still there, and still ours."""
        if not isinstance(self.address, UnixAddress):
            return True
        try:
            return os.lstat(self.address.path).st_ino == self.inode
        except OSError:
            return False

    def __str__(self) -> str:
        """Where to reach it, as a URL if there is one; with the port that the kernel chose for port 0."""
        place = self.place()
        if place is None:
            return f"unix:{self.sock.getsockname()}"
        scheme = "https" if speaks_tls(self.address) else "http"
        return f"{scheme}://{TcpAddress(place.host, place.port)}"


def prepare(site: Site, open_already: Iterable[Listener], inherited: Inherited) -> list[Listener]:
    """The listeners that `site` asks for, in its order: those that are open already, those that we were
    started with, the others bound now. Behind them those that one of its wildcards covers.

    Raises BindError, with nothing left bound.
    """
    already = [listener for listener in open_already if listener.is_ours()]
    listeners: list[Listener] = []
    try:
        for address in site.bind:
            with _explained(address):
                if isinstance(address, InheritedAddress):
                    listeners += _inherited(address, inherited)
                else:
                    listeners.append(_listener(address, site, listeners, already, inherited))
    except BaseException:
        close(listener for listener in listeners if listener not in already)
        raise
    return [*listeners, *_covered(listeners, (old for old in already if old not in listeners))]


def _covered(listeners: Iterable[Listener], already: Iterable[Listener]) -> Iterator[Listener]:
    """Those that are open already and belong to a wildcard now: what it speaks, they speak."""
    wild = [(place, listener) for listener in listeners if (place := listener.place()) is not None]
    for old in already:
        speaks = next((speaks_tls(new.address) for place, new in wild if place.covers(old.place())), None)
        if speaks is not None and isinstance(old.address, TcpAddress):
            yield replace(old, address=msgspec.structs.replace(old.address, tls=speaks))


def _listener(
    address: OwnAddress, site: Site, listeners: list[Listener], already: list[Listener], inherited: Inherited
) -> Listener:
    found = _find(address, [*listeners, *already])
    if found in listeners:
        raise BindError(f"cannot bind {address}: it is the same as {found.address}")
    if isinstance(address, UnixAddress):
        _owner(address, site)  # known, or nothing is changed
    if found is not None:
        return replace(found, address=address)
    return _from_store(address, inherited) or _bind(address, site, already)


def adapt(listeners: Iterable[Listener], site: Site) -> None:
    """Give the listeners of a site its backlog, and its owner and mode. Raises BindError."""
    ours = [listener for listener in listeners if listener.is_ours()]
    for address in site.bind:
        with _explained(address):
            listener = None if isinstance(address, InheritedAddress) else _find(address, ours)
            if listener is not None:
                listener.sock.listen(site.limits.backlog)
            if isinstance(address, UnixAddress):
                _own(address, _owner(address, site))


def _find(address: OwnAddress, already: Iterable[Listener]) -> Listener | None:
    """The open listener of this address, however it is spelled."""
    spelled = next((old for old in already if str(old.address) == str(address)), None)
    if spelled is not None:
        return spelled if spelled.can_be_reached() else None
    if isinstance(address, UnixAddress):
        return None
    return next((old for old in already if old.place() == _place(address)), None)


def _inherited(address: InheritedAddress, inherited: Inherited) -> list[Listener]:
    if address.fd is not None:
        return [Listener(address, inherited.numbered(address.fd))]
    return [Listener(address, sock) for sock in inherited.named(address.name)]


def _from_store(address: OwnAddress, inherited: Inherited) -> Listener | None:
    """The listener of an earlier start, whose backlog has grown meanwhile."""
    sock = inherited.from_store(stored_name(address))
    if sock is None or not isinstance(address, UnixAddress):
        return None if sock is None else Listener(address, sock)
    try:
        return Listener(address, sock, os.lstat(address.path).st_ino)
    except OSError:  # nobody can reach it any more
        sock.close()
        return None


def stored_name(address: Address) -> str:
    """An address's name in systemd's file descriptor store, which has no room for colons."""
    return f"{STORED}{zlib.crc32(str(address).encode()):08x}"


def _bind(address: OwnAddress, site: Site, already: Iterable[Listener]) -> Listener:
    if isinstance(address, UnixAddress):
        return _bind_unix(address, site)
    return _bind_tcp(address, site, already)


@contextlib.contextmanager
def _explained(address: Address) -> Iterator[None]:
    """Turn what the system says into a BindError."""
    try:
        yield
    except (PrivilegeError, NotInherited) as error:
        raise BindError(f"cannot bind {address}: {error}") from None
    except socket.gaierror as error:
        raise BindError(f"cannot bind {address}: host name not known ({error.strerror})") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise BindError(f"cannot bind {address}: {reason}{_advice(error)}") from None


def close(listeners: Iterable[Listener], *, stored: bool = False) -> None:
    """Close those that are ours, and remove the files of unix sockets that still are, unless the sockets
    are `stored` for the next start."""
    for listener in filter(Listener.is_ours, listeners):
        if not stored and listener.sock.fileno() >= 0 and isinstance(listener.address, UnixAddress):
            path = Path(listener.address.path)
            with contextlib.suppress(OSError):  # already removed, or the folder is not ours any more
                if path.lstat().st_ino == listener.inode:
                    path.unlink()
        listener.sock.close()


def _advice(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return ": another program listens there; `ss -ltnp` names it"
    if error.errno == errno.EACCES:
        return ": ports below 1024 need root or CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return ": no network interface of this machine has this address"
    return ""


def _place(address: TcpAddress) -> Place:
    found = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
    )
    family, _, _, _, where = min(found, key=lambda info: info[0] != socket.AF_INET)
    return Place(family, where)


def _bind_tcp(address: TcpAddress, site: Site, already: Iterable[Listener]) -> Listener:
    place = _place(address)
    _refuse_to_narrow(place, already)
    sock = socket.socket(place.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
        if place.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        with _sharing_port([sock, *(old.sock for old in already if place.covers(old.place()))]):
            sock.bind(place.where)
            sock.listen(site.limits.backlog)
    except BaseException:
        sock.close()
        raise
    return Listener(address, sock)


def _refuse_to_narrow(place: Place, already: Iterable[Listener]) -> None:
    """From 0.0.0.0:80 to 127.0.0.1:80 a listener would have to go while clients wait there."""
    for old in already:
        wild = old.place()
        if wild is not None and wild.covers(place):
            raise BindError(
                f"cannot bind {TcpAddress(place.host, place.port)}: {old.address} of this site listens there "
                "and cannot be narrowed without refusing clients; restart the site for that"
            )


@contextlib.contextmanager
def _sharing_port(socks: list[socket.socket]) -> Iterator[None]:
    """Let bind(2) accept the first, a wildcard, beside the others, if there are any. Only meanwhile: who says
    SO_REUSEPORT (socket(7)) lets any other program of the same user do the same."""
    try:
        if len(socks) > 1:
            for sock in socks:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        yield
    finally:
        for sock in socks:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)


def _bind_unix(address: UnixAddress, site: Site) -> Listener:
    return _listen_at(address, _owner(address, site), site.limits.backlog)


def bind_private(path: str, backlog: int) -> Listener:
    """A unix socket that only the user whom we are may connect to, and root. Raises BindError."""
    address = UnixAddress(path, mode=0o600)
    with _explained(address):
        return _listen_at(address, (-1, -1), backlog)


def check_private(path: str) -> None:
    """Find out whether `bind_private` would succeed. Raises BindError."""
    address = UnixAddress(path)
    with _explained(address):
        _remove_stale(address)
        try_making(Path(path).parent)


def _listen_at(address: UnixAddress, owner: tuple[int, int], backlog: int) -> Listener:
    _remove_stale(address)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    before = os.umask(0o777)  # nobody connects before mode and owner are right
    try:
        sock.bind(address.path)
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(before)
    listener = Listener(address, sock, os.lstat(address.path).st_ino)
    try:
        _own(address, owner)
        sock.listen(backlog)
    except BaseException:
        close([listener])
        raise
    return listener


def _own(address: UnixAddress, owner: tuple[int, int]) -> None:
    """Give the socket's file its owner and mode."""
    if owner != (-1, -1):
        os.chown(address.path, *owner)
    Path(address.path).chmod(address.mode)


def _owner(address: UnixAddress, site: Site) -> tuple[int, int]:
    """User and group for chown(2), by default those of the workers. Raises PrivilegeError."""
    owner, group = address.owner or site.user, address.group or site.group
    uid = account(owner).uid if owner else -1
    gid = group_id(group) if group else account(owner).gid if owner else -1
    return uid, gid


def _remove_stale(address: UnixAddress) -> None:
    """Remove a socket file that a dead process left; raise BindError for anything else that is in the way."""
    try:
        if not stat.S_ISSOCK(os.lstat(address.path).st_mode):
            raise BindError(f"cannot bind {address}: a file that is not a socket is there; move it away")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full backlog answers EAGAIN: somebody does listen
        try:
            probe.connect(address.path)
        except (ConnectionRefusedError, FileNotFoundError):
            Path(address.path).unlink(missing_ok=True)
            return
        except BlockingIOError:
            pass
    raise BindError(f"cannot bind {address}: another program listens there")
