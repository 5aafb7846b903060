"""Whether the addresses of a site could be bound, without binding any: a program that starts meanwhile must
not find them taken. The site itself may run, and have them; who else does is named.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from superwsgi.checking.flaws import Flaw
from superwsgi.checking.surroundings import unix_addresses
from superwsgi.config.grammar.addresses import SOCKET_PATH_BYTES
from superwsgi.config.listening import Address, TcpAddress
from superwsgi.config.schema import Site
from superwsgi.log.files import try_making, write_error
from superwsgi.log.spelling import printable
from superwsgi.master.control.paths import OFF, Folder, folders
from superwsgi.master.pidfile import PidFileError, holder_of
from superwsgi.master.sockets.listener import BindError, Endpoint, endpoint_of, explained
from superwsgi.system import libc, procfs
from superwsgi.system.unsafe_paths import NotPrivate, verify_private

_UNPRIVILEGED: Final = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_CAP_NET_BIND_SERVICE: Final = 10  # capabilities(7)
_FROM_THE_KERNEL: Final = 0
"""A port that nobody else has."""


@dataclass(frozen=True, slots=True)
class RunningSite:
    """A master on this machine: the site's name, its file if it has one, and its process; whether it serves
    `this` very site that is looked at."""

    name: str
    file: str | None
    pid: int
    this: bool = False


@dataclass(frozen=True, slots=True)
class Holder:
    """Who listens somewhere: `where` is a path, or host and port; `pid` None where this user may not know."""

    where: str | tuple[str, int]
    pid: int | None


def flaws(site: Site, running: Sequence[RunningSite]) -> Iterator[Flaw]:
    """`running` are the sites of which this user can know."""
    masters = frozenset(each.pid for each in running if each.this)
    others = [each for each in running if each.pid not in masters]
    own = _Own(site.name, masters, frozenset(each.pid for each in others))
    holders = listening()
    yield from _of_tcp(site, holders, own)
    yield from _of_unix(site, holders, own)
    yield from _of_pid_file(site, own)
    yield from _of_name(site, others)


@dataclass(frozen=True, slots=True)
class _Own:
    """Processes of this site, which may run: below one of its `masters`, or, where none of them answers, by
    their titles; not those below a master of another site."""

    name: str
    masters: frozenset[int]
    others: frozenset[int]

    def has(self, pid: int) -> bool:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            family = {pid, *(each.pid for each in process.parents())}
            if not family.isdisjoint(self.masters | self.others):
                return family.isdisjoint(self.others)
            title = procfs.title(pid)
            return title.startswith("superwsgi: ") and f"[{self.name}]" in title
        return False


def listening() -> list[Holder]:
    """All that listen on this machine, as far as this user may know."""
    found = []
    for each in psutil.net_connections("all"):
        if each.laddr and (each.status == psutil.CONN_LISTEN or each.family == socket.AF_UNIX):
            where = each.laddr if isinstance(each.laddr, str) else (each.laddr.ip, each.laddr.port)
            found.append(Holder(where, each.pid))
    return found


# TCP.


def _of_tcp(site: Site, holders: Sequence[Holder], own: _Own) -> Iterator[Flaw]:
    seen: dict[Endpoint, TcpAddress] = {}
    for key, address in tcp_addresses(site):
        try:
            with explained(address):
                endpoint = endpoint_of(address)
                _try_host(endpoint)
        except BindError as error:
            yield Flaw(key, f"{key}: {error}", value=address)
            continue
        if address.port and endpoint in seen:
            yield Flaw(key, f"{key}: {address} is the same as {seen[endpoint]}", "leave one out", address)
            continue
        seen[endpoint] = address
        yield from _of_port(key, address, endpoint, holders, own)


def tcp_addresses(site: Site) -> Iterator[tuple[str, TcpAddress]]:
    """Each with its key."""
    binds: dict[str, Iterable[Address]] = {
        "bind": site.bind,
        "health.bind": site.health.bind,
        "admin.bind": site.admin.bind,
    }
    for key, addresses in binds.items():
        yield from ((key, each) for each in addresses if isinstance(each, TcpAddress))


def _try_host(endpoint: Endpoint) -> None:
    """With a port that the kernel chooses, so nobody is in the way. Raises OSError."""
    host, _, *rest = endpoint.where
    with socket.socket(endpoint.family, socket.SOCK_STREAM) as sock:
        sock.bind((host, _FROM_THE_KERNEL, *rest))


def _of_port(
    key: str, address: TcpAddress, endpoint: Endpoint, holders: Sequence[Holder], own: _Own
) -> Iterator[Flaw]:
    if address.port and not may_bind(address.port):
        yield Flaw(
            key,
            f"{key}: {address}: ports below {first_free_port()} need root or CAP_NET_BIND_SERVICE",
            "start superwsgi as root and set user, give its unit AmbientCapabilities=CAP_NET_BIND_SERVICE, "
            "or name a higher port",
            address,
        )
    holder = next((each for each in holders if _overlaps(endpoint, each)), None)
    if holder is not None and address.port:
        yield from _taken(key, address, holder, own)


def may_bind(port: int) -> bool:
    """Whether this process has the right to (ip(7), ip_unprivileged_port_start)."""
    return port >= first_free_port() or bool(libc.capget()[0] & 1 << _CAP_NET_BIND_SERVICE)


def first_free_port() -> int:
    """The ports below it need a right."""
    try:
        return int(_UNPRIVILEGED.read_text())
    except (OSError, ValueError):
        return 1024


def _overlaps(endpoint: Endpoint, holder: Holder) -> bool:
    """Whether bind(2) refuses one while the other listens."""
    if not isinstance(holder.where, tuple) or holder.where[1] != endpoint.port:
        return False
    family = socket.AF_INET6 if ":" in holder.where[0] else socket.AF_INET
    theirs = Endpoint(family, holder.where)
    if family != endpoint.family:
        return holder.where[0] == "::" and _is_refused(endpoint)  # unless it takes IPv6 alone (ipv6(7))
    return theirs.host == endpoint.host or theirs.overlaps(endpoint)


def _is_refused(endpoint: Endpoint) -> bool:
    """Asked only where somebody listens: another one that starts is in trouble anyway."""
    with socket.socket(endpoint.family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(endpoint.where)
        except OSError:
            return True
    return False


def _taken(key: str, address: Address, holder: Holder, own: _Own) -> Iterator[Flaw]:
    if holder.pid is None:
        who = "a program of another user; if that is this site, all is well"
        yield Flaw(key, f"{key}: {address} is in use by {who}", value=address, harmless=True)
    elif not own.has(holder.pid):
        who = f"{_named(holder.pid)} (pid {holder.pid})"
        yield Flaw(key, f"{key}: {address} is in use by {who}", "end that, or name another address", address)


def _named(pid: int) -> str:
    return printable(procfs.title(pid)[:60]) or "a program"


# Sockets with a file, and the site's name.


def _of_unix(site: Site, holders: Sequence[Holder], own: _Own) -> Iterator[Flaw]:
    asked: list[tuple[str, str, object]] = [(key, each.path, each) for key, each in unix_addresses(site)]
    if site.control is not None and site.control != OFF:
        asked.append(("control", site.control, site.control))
    for key, path, address in asked:
        holder = next((each for each in holders if each.where == path), None)
        if holder is not None and (holder.pid is None or not own.has(holder.pid)):
            who = "another program" if holder.pid is None else f"{_named(holder.pid)} (pid {holder.pid})"
            yield Flaw(key, f"{key}: {path} is in use by {who}", "end that, or name another path", address)
        elif holder is None and _is_in_the_way(path):
            yield Flaw(key, f"{key}: {path} is a file that is not a socket", "move it away", address)


def _of_pid_file(site: Site, own: _Own) -> Iterator[Flaw]:
    holder = None
    with contextlib.suppress(PidFileError, OSError):  # others tell of that
        holder = None if site.pidfile is None else holder_of(Path(site.pidfile))
    if holder is not None and not own.has(holder):
        who = f"process {holder} ({_named(holder)})"
        yield Flaw("pidfile", f"pidfile: {site.pidfile} is held by {who}", "end that, or name another file")


def _is_in_the_way(path: str) -> bool:
    try:
        return not stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def _of_name(site: Site, others: Iterable[RunningSite]) -> Iterator[Flaw]:
    for each in others:
        if each.name == site.name:
            yield Flaw(
                "name",
                f"name: another site called {site.name} runs, of {each.file or 'no site file'} "
                f"(pid {each.pid}): commands would have to be told which one is meant",
                "give one of them another name",
                harmless=True,
            )
    if site.control is None:
        reasons = [_unusable(folder) for folder in folders(site.name, os.environ)]
        if all(reasons):
            yield Flaw(
                "name",
                f"control: there would be no control socket: {'; '.join(filter(None, reasons))}",
                "set control to a path, or to off",
                harmless=True,
            )


def _unusable(folder: Folder) -> str:
    """Why the control socket cannot be there; empty if it can."""
    path = folder.socket()
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_BYTES:
        return f"{path} has {length} bytes, and the path of a socket has at most {SOCKET_PATH_BYTES}"
    try:
        if not folder.path.exists():
            try_making(folder.path.parent)
        elif folder.private:
            verify_private(folder.path)
        else:
            try_making(folder.path)
    except NotPrivate as error:
        return str(error)
    except OSError as error:
        return f"{folder.path}: {write_error(path, error)}"
    return ""
