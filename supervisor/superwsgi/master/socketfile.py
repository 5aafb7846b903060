"""The file of a unix socket. Its folder may be writable for somebody else, such as the site's user, who then
puts there what he likes when he likes: a link to a file of root's, for instance. So the file is opened, never
following a link, and what is done is done to what was opened, and only where that is the socket that we have
bound.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass


class NotOurs(Exception):
    """What is at a socket's path is not its file; the text says what it is and what to do."""


@dataclass(frozen=True, slots=True)
class SocketFile:
    """A file by what it is, not by its name."""

    path: str
    device: int
    inode: int

    @classmethod
    def bind(cls, sock: socket.socket, path: str) -> SocketFile:
        """Bind a socket, to a file that nobody may use before `give`; one that a dead process left makes way.
        Raises NotOurs, OSError."""
        with _folder(path) as (folder, name):
            _remove_stale(folder, name)
            before = os.umask(0o777)
            try:
                sock.bind(path)
            finally:
                os.umask(before)
            return cls._found(path, folder, name, owners={os.geteuid()})

    @classmethod
    def find(cls, path: str, owners: set[int]) -> SocketFile:
        """The file of a socket that an earlier start has bound, and given to one of `owners`, user ids.
        Raises NotOurs, OSError."""
        with _folder(path) as (folder, name):
            return cls._found(path, folder, name, owners)

    @classmethod
    def _found(cls, path: str, folder: int, name: str, owners: set[int]) -> SocketFile:
        with _opened(name, folder) as fd:
            status = os.fstat(fd)
        alone = status.st_nlink == 1  # else somebody may have linked another socket there
        if not (stat.S_ISSOCK(status.st_mode) and alone and status.st_uid in owners):
            raise NotOurs("somebody has put another file in its place")
        return cls(path, status.st_dev, status.st_ino)

    def give(self, owner: tuple[int, int], mode: int) -> None:
        """Set user, group (-1 leaves them) and mode. Raises NotOurs where the file is there no longer,
        OSError."""
        with _opened(self.path) as fd:
            if not self._is(os.fstat(fd)):
                raise NotOurs("its file is not the one that was bound: somebody has replaced it")
            itself = f"/proc/self/fd/{fd}"
            if owner != (-1, -1):
                os.chown(itself, *owner)
            os.chmod(itself, mode)  # noqa: PTH101 (a Path has no descriptor either)

    def is_there(self) -> bool:
        """Whether the path still leads to it."""
        try:
            return self._is(os.lstat(self.path))
        except OSError:
            return False

    def remove(self) -> None:
        """Remove it, if it is still there and the folder still ours."""
        with contextlib.suppress(OSError), _folder(self.path) as (folder, name):
            if self._is(os.stat(name, dir_fd=folder, follow_symlinks=False)):
                os.unlink(name, dir_fd=folder)

    def _is(self, status: os.stat_result) -> bool:
        return (status.st_dev, status.st_ino) == (self.device, self.inode)


def check(path: str) -> None:
    """Find out whether a socket could be bound there, but for permissions; what a dead process left is
    removed. Raises NotOurs, OSError."""
    with _folder(path) as (folder, name):
        _remove_stale(folder, name)


@contextlib.contextmanager
def _folder(path: str) -> Iterator[tuple[int, str]]:
    """The folder of a path, as a descriptor that stays the same whatever becomes of its name, and the name in
    it."""
    parent, name = os.path.split(path)
    fd = os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd, name
    finally:
        os.close(fd)


@contextlib.contextmanager
def _opened(path: str, folder: int | None = None) -> Iterator[int]:
    """What is there itself, be it a link, without the right to read or write it (open(2), O_PATH)."""
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)


def _remove_stale(folder: int, name: str) -> None:
    """Raises NotOurs where what is there is not a socket that nobody listens to."""
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
        probe.setblocking(False)  # a full backlog answers EAGAIN: somebody does listen
        try:
            probe.connect(f"/proc/self/fd/{fd}")
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:
            pass
        return True
