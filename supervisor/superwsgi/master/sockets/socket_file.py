"""The file of a unix socket. Its folder may be writable by somebody else, such as the site's user, who can
replace it by a link to one of root's files. So the file is opened without following links, and only what was
opened is changed, and only if it is the socket that we bound.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from superwsgi.system.unsafe_paths import Inode, folder_of


class NotOurs(Exception):
    """Something else than the socket's file is at its path; the text says what it is and what to do."""


@dataclass(frozen=True, slots=True)
class SocketFile(Inode):
    """The file of a socket that this site has bound."""

    @classmethod
    def bind(cls, sock: socket.socket, path: str) -> SocketFile:
        """Bind a socket to a file that nobody may use before `give`. Removes one that a dead process left.
        Raises NotOurs, OSError."""
        with folder_of(path) as (folder, name):
            _remove_stale(folder, name)
            before = os.umask(0o777)
            try:
                sock.bind(path)
            finally:
                os.umask(before)
            return cls._found(path, folder, name, owners={os.geteuid()})

    @classmethod
    def find(cls, path: str, owners: set[int]) -> SocketFile:
        """The file of a socket that an earlier start bound and gave to one of `owners`, user ids. Raises
        NotOurs, OSError."""
        with folder_of(path) as (folder, name):
            return cls._found(path, folder, name, owners)

    @classmethod
    def _found(cls, path: str, folder: int, name: str, owners: set[int]) -> SocketFile:
        with _opened(name, folder) as fd:
            status = os.fstat(fd)
        alone = status.st_nlink == 1  # else somebody may have linked another socket there
        if not (stat.S_ISSOCK(status.st_mode) and alone and status.st_uid in owners):
            raise NotOurs("another file has been put in its place")
        return cls.of(path, status)

    def give(self, owner: tuple[int, int], mode: int) -> None:
        """Set user, group (-1 leaves them) and mode. Raises OSError, or NotOurs if the file is no longer
        there."""
        with _opened(self.path) as fd:
            if not self.matches(os.fstat(fd)):
                raise NotOurs("its file is not the one that was bound: it has been replaced")
            itself = f"/proc/self/fd/{fd}"
            if owner != (-1, -1):
                os.chown(itself, *owner)
            os.chmod(itself, mode)  # noqa: PTH101 (a Path has no descriptor either)


def check(path: str) -> None:
    """Find out whether a socket could be bound there, permissions aside. Removes one that a dead process
    left. Raises NotOurs, OSError."""
    with folder_of(path) as (folder, name):
        _remove_stale(folder, name)


@contextlib.contextmanager
def _opened(path: str, folder: int | None = None) -> Iterator[int]:
    """Whatever is there (a link, not its target), not for reading or writing (open(2), O_PATH)."""
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)


def _remove_stale(folder: int, name: str) -> None:
    """Raises NotOurs for anything but a socket at which nobody listens."""
    try:
        with _opened(name, folder) as fd:
            if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                raise NotOurs("a file that is not a socket is there; move it away")
            if _listens(fd):
                raise NotOurs("another program listens there")
            os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return


def _listens(fd: int) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full backlog answers EAGAIN: somebody is listening
        try:
            probe.connect(f"/proc/self/fd/{fd}")
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:
            pass
        return True
