"""The listening sockets. They belong to the master from the first start to the last stop: a reload keeps
those whose address stays, binds what is new, and closes what is gone only once the reload has succeeded.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from superwsgi.config.schema import Address, InheritedAddress, Site, TcpAddress, UnixAddress
from superwsgi.master.handover import HeldListener
from superwsgi.master.inherited import STORED, Inherited, NotInherited
from superwsgi.worker.privileges import PrivilegeError, account, group_id


class BindError(Exception):
    """An address could not be bound; the text names it, the reason and what to do."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A bound, listening, non-blocking socket. `inode` is that of a unix socket's file."""

    address: Address
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
        if self.sock.family == socket.AF_UNIX:
            return f"unix:{self.sock.getsockname()}"
        host, port = self.sock.getsockname()[:2]
        return f"http://{TcpAddress(host, port)}"


def prepare(site: Site, open_already: Iterable[Listener], inherited: Inherited) -> list[Listener]:
    """The listeners that `site` asks for, in its order: those that are open already, those that we were
    started with, the others bound now.

    Raises BindError, with nothing left bound.
    """
    by_key = {_key(listener.address): listener for listener in open_already if listener.is_ours()}
    listeners: list[Listener] = []
    try:
        for address in site.bind:
            if isinstance(address, InheritedAddress):
                listeners += _inherited(address, inherited)
                continue
            listener = by_key.get(_key(address)) or _from_store(address, inherited)
            if listener is None or not listener.can_be_reached():
                listener = bind(address, site)
            else:
                _adapt(listener, address, site)
            listeners.append(listener)
    except BaseException:
        close(listener for listener in listeners if listener not in by_key.values())
        raise
    return listeners


def _inherited(address: InheritedAddress, inherited: Inherited) -> list[Listener]:
    with _explained(address):
        if address.fd is not None:
            return [Listener(address, inherited.numbered(address.fd))]
        return [Listener(address, sock) for sock in inherited.named(address.name)]


def _from_store(address: TcpAddress | UnixAddress, inherited: Inherited) -> Listener | None:
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


def _key(address: Address) -> str:
    return str(address)


def bind(address: TcpAddress | UnixAddress, site: Site) -> Listener:
    """Bind and listen. Raises BindError."""
    with _explained(address):
        if isinstance(address, TcpAddress):
            return _bind_tcp(address, site)
        return _bind_unix(address, site)


def _adapt(listener: Listener, address: Address, site: Site) -> None:
    """Give an open listener the backlog, owner and mode of a new configuration. Raises BindError."""
    with _explained(address):
        listener.sock.listen(site.limits.backlog)
        if isinstance(address, UnixAddress):
            _own(address, site)


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


def _bind_tcp(address: TcpAddress, site: Site) -> Listener:
    found = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
    )
    family, kind, protocol, _, where = min(found, key=lambda info: info[0] != socket.AF_INET)
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(where)
        sock.listen(site.limits.backlog)
    except BaseException:
        sock.close()
        raise
    return Listener(address, sock)


def _bind_unix(address: UnixAddress, site: Site) -> Listener:
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
        _own(address, site)
        sock.listen(site.limits.backlog)
    except BaseException:
        close([listener])
        raise
    return listener


def _own(address: UnixAddress, site: Site) -> None:
    """Give the socket's file its owner (default: the workers' user) and mode."""
    owner, group = address.owner or site.user, address.group or site.group
    uid = account(owner).uid if owner else -1
    gid = group_id(group) if group else account(owner).gid if owner else -1
    if (uid, gid) != (-1, -1):
        os.chown(address.path, uid, gid)
    Path(address.path).chmod(address.mode)


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
