"""Listening sockets that the master was started with: by socket activation, from systemd's file descriptor
store after a restart, or from a program that it replaces (sd_listen_fds(3): $LISTEN_FDS, $LISTEN_FDNAMES).
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Final

from superwsgi.system import procfs

FIRST: Final = 3  # SD_LISTEN_FDS_START
STORED: Final = "superwsgi."
"""Prefix of names in the store; all others are names of the units that activate us."""

_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class NotInherited(Exception):
    """A socket that the site file names was not passed; the text says what to do."""


@dataclass(slots=True)
class Inherited:
    """`given` are (name, socket) as systemd names them, `stored` those of an earlier start by name, and
    `others` unnamed listening sockets, by number."""

    given: list[tuple[str, socket.socket]] = field(default_factory=list)
    stored: dict[str, socket.socket] = field(default_factory=dict)
    others: dict[int, socket.socket] = field(default_factory=dict)

    @classmethod
    def from_environ(cls, environ: MutableMapping[str, str]) -> Inherited:
        """Take what we were started with, remove it from the environment, and make the descriptors
        close-on-exec. Call it before the process opens sockets of its own."""
        names = _names(environ)
        inherited = cls()
        for fd in sorted(procfs.descriptors()):
            sock = _listening(fd) if fd >= FIRST else None
            if sock is None:
                continue
            name = names.get(fd)
            if name is None:
                inherited.others[fd] = sock
            elif name.startswith(STORED):
                inherited.stored[name] = sock
            else:
                inherited.given.append((name, sock))
        return inherited

    @classmethod
    def restore(cls, held: Iterable[tuple[str, int]]) -> Inherited:
        """What an earlier program of this process was started with."""
        return cls(given=[(name, reopened(fd)) for name, fd in held])

    def hold(self) -> list[tuple[str, int]]:
        """What the next program of this process needs to know of them."""
        return [(name, sock.fileno()) for name, sock in self.given]

    def named(self, name: str) -> list[socket.socket]:
        """The sockets of a socket unit, or all if `name` is empty. Raises NotInherited."""
        found = [sock for given, sock in self.given if name in ("", given)]
        if not found:
            names = ", ".join(sorted({given for given, _ in self.given}))
            passed = f"systemd has passed only {names}" if names else "systemd has passed no socket"
            raise NotInherited(f"{passed}: start the site by its socket unit")
        return found

    def numbered(self, fd: int) -> socket.socket:
        """The socket that the process was started with as `fd`. Raises NotInherited."""
        given = {sock.fileno(): sock for _, sock in self.given}
        if fd in self.others:
            given[fd] = self.others.pop(fd)
            self.given.append((f"fd{fd}", given[fd]))
        try:
            return given[fd]
        except KeyError:
            raise NotInherited("the process was started without a listening stream socket there") from None

    def from_store(self, name: str) -> socket.socket | None:
        """A socket that an earlier start put into the store; each is given once."""
        return self.stored.pop(name, None)

    def left_over(self) -> Iterator[str]:
        """Names of stored sockets that nobody asked for; they are closed."""
        for name in list(self.stored):
            self.stored.pop(name).close()
            yield name


def _names(environ: MutableMapping[str, str]) -> dict[int, str]:
    """The descriptors that systemd passed to this very process, and their names."""
    said = {name: environ.pop(name) for name in _VARIABLES if name in environ}
    if said.get("LISTEN_PID") != str(os.getpid()) or not said.get("LISTEN_FDS", "").isdecimal():
        return {}
    fds = range(FIRST, FIRST + int(said["LISTEN_FDS"]))
    names = [*said.get("LISTEN_FDNAMES", "").split(":"), *[""] * len(fds)]
    return dict(zip(fds, names, strict=False))


def reopened(fd: int) -> socket.socket:
    """A listening socket by its descriptor, as it was before execve(2)."""
    sock = socket.socket(fileno=fd)
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock


def _listening(fd: int) -> socket.socket | None:
    """The stream socket that listens at `fd`; None for anything else."""
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            return None
        sock = socket.socket(fileno=fd)
    except OSError:
        return None
    listens = sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if not listens:
        sock.detach()
        return None
    os.set_inheritable(fd, False)
    sock.setblocking(False)
    return sock
