"""The listening sockets. They belong to the master from the first start to the last stop: a reload keeps
those whose address stays, binds new ones, and changes or closes others only once it has succeeded.

After a change from 127.0.0.1:80 to 0.0.0.0:80 both are open. The kernel gives a connection to the listener
with the most exact address, so closing that one would refuse the clients that wait there; it is kept and
served as before.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

import msgspec

from superwsgi.config.listening import Address, InheritedAddress, TcpAddress, UnixAddress, speaks_tls
from superwsgi.config.schema import Site
from superwsgi.master.sockets.inherited import STORED, Inherited
from superwsgi.master.sockets.listener import (
    BindError,
    Damage,
    Listener,
    bind_tcp,
    bind_unix,
    endpoint_of,
    explained,
    own,
    owner_of,
)
from superwsgi.master.sockets.socket_file import NotOurs, SocketFile

OwnAddress = TcpAddress | UnixAddress


def prepare(site: Site, open_already: Iterable[Listener], inherited: Inherited) -> list[Listener]:
    """The listeners that `site` asks for, in its order: those open already, those that we were started with,
    and others bound now. After them those that one of its wildcards covers.

    Raises BindError, with nothing left bound.
    """
    already = [listener for listener in open_already if listener.is_ours()]
    listeners: list[Listener] = []
    try:
        for address, checks in _asked_for(site):
            with explained(address):
                if isinstance(address, InheritedAddress):
                    found = _inherited(address, listeners, inherited)
                else:
                    found = [_listener(address, checks, site, listeners, already, inherited)]
                listeners += [replace(listener, checks=checks) for listener in found]
    except BaseException:
        close(listener for listener in listeners if listener not in already)
        raise
    return [*listeners, *_covered(listeners, (old for old in already if old not in listeners))]


def _asked_for(site: Site) -> Iterator[tuple[Address, bool]]:
    """Its addresses, and whether each is for health checks alone."""
    yield from ((address, False) for address in site.bind)
    yield from ((address, True) for address in site.health.bind)


def _covered(listeners: Iterable[Listener], already: Iterable[Listener]) -> Iterator[Listener]:
    """Those that are open already and belong to a wildcard now, whose protocol they then speak."""
    wild = [(where, new) for new in listeners if (where := new.endpoint()) is not None]
    for old in already:
        at = old.endpoint()
        new = next((new for where, new in wild if where.covers(at)), None)
        if new is not None and isinstance(old.address, TcpAddress):
            address = msgspec.structs.replace(old.address, tls=speaks_tls(new.address))
            yield replace(old, address=address, checks=new.checks)


def _listener(
    address: OwnAddress,
    checks: bool,
    site: Site,
    listeners: list[Listener],
    already: list[Listener],
    inherited: Inherited,
) -> Listener:
    found = _find(address, checks, [*listeners, *already])
    if found in listeners:
        raise BindError(f"cannot bind {address}: it is the same as {found.address}")
    if isinstance(address, UnixAddress):
        owner_of(address, site)  # must be known, or nothing is changed
    if found is not None:
        return replace(found, address=address)
    return _from_store(address, site, inherited) or _bind(address, site, already, inherited)


def adapt(listeners: Iterable[Listener], site: Site) -> None:
    """Give the site's backlog, owner and mode to its listeners. Raises BindError."""
    ours = [listener for listener in listeners if listener.is_ours()]
    for address, checks in _asked_for(site):
        with explained(address):
            listener = None if isinstance(address, InheritedAddress) else _find(address, checks, ours)
            if listener is not None:
                listener.sock.listen(site.limits.backlog)
            if isinstance(address, UnixAddress) and listener is not None:
                own(listener, owner_of(address, site))


def _find(address: OwnAddress, checks: bool, already: Iterable[Listener]) -> Listener | None:
    """The open listener of this address, however it is spelled."""
    spelled = next((old for old in already if _is_spelled(old, address, checks)), None)
    if spelled is not None:
        return spelled if spelled.can_be_reached() else None
    if isinstance(address, UnixAddress):
        return None
    return next((old for old in already if old.endpoint() == endpoint_of(address)), None)


def _is_spelled(listener: Listener, address: OwnAddress, checks: bool) -> bool:
    """Whether it was made for this address. Port 0 in `bind` and port 0 in `health.bind` are two."""
    distinct = isinstance(address, TcpAddress) and not address.port
    return str(listener.address) == str(address) and (listener.checks is checks or not distinct)


def _inherited(
    address: InheritedAddress, listeners: Iterable[Listener], inherited: Inherited
) -> list[Listener]:
    socks = inherited.named(address.name) if address.fd is None else [inherited.numbered(address.fd)]
    for other in listeners:
        if other.sock in socks:
            raise BindError(
                f"cannot bind {address}: {other.address} has that socket already; name each of them by "
                "its socket unit's FileDescriptorName=, as in systemd:web"
            )
    return [Listener(address, sock) for sock in socks]


def _from_store(address: OwnAddress, site: Site, inherited: Inherited) -> Listener | None:
    """The listener of an earlier start, which may have clients waiting by now."""
    sock = inherited.from_store(stored_name(address))
    if sock is None or not isinstance(address, UnixAddress):
        return None if sock is None else Listener(address, sock)
    try:
        owner, _ = owner_of(address, site)
        return Listener(address, sock, SocketFile.find(address.path, {os.geteuid(), owner}))
    except (NotOurs, OSError):  # nobody can reach it any more
        sock.close()
        return None


def stored_name(address: Address) -> str:
    """An address's name in systemd's file descriptor store, which has no room for colons."""
    return f"{STORED}{zlib.crc32(str(address).encode()):08x}"


def _bind(address: OwnAddress, site: Site, already: Iterable[Listener], inherited: Inherited) -> Listener:
    if isinstance(address, UnixAddress):
        return bind_unix(address, site)
    return bind_tcp(address, site, already, inherited.stored.values())


def mend(listener: Listener, damage: Iterable[Damage], site: Site) -> Listener:
    """Undo its damage, or replace it by another listener if it cannot be mended. Raises BindError."""
    if Damage.BLOCKING in damage:
        listener.sock.setblocking(False)
    if not {Damage.DEAF, Damage.REMOVED} & {*damage}:
        return listener
    with explained(listener.address):
        if isinstance(listener.address, UnixAddress):
            return bind_unix(listener.address, site)
        if listener.endpoint() is None:
            raise BindError(
                "it was inherited and is shut down: the program that opened it must open it again"
            )
        with contextlib.suppress(OSError):  # it still has its port, unless the kernel chose that
            listener.sock.bind(listener.sock.getsockname())
        listener.sock.listen(site.limits.backlog)
    return listener


def give_up(listeners: Iterable[Listener]) -> None:
    """Close those that are ours, and refuse new clients: a mold may have them open for a moment longer."""
    for listener in filter(Listener.is_ours, listeners):
        listener.stop_listening()
        listener.close()


def close(listeners: Iterable[Listener], *, stored: bool = False) -> None:
    """Close those that are ours; see Listener.close."""
    for listener in filter(Listener.is_ours, listeners):
        listener.close(stored=stored)
