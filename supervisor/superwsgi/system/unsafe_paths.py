"""Paths that somebody else can change: the site's user may write its log folder, and put a link to a file of
root's there; in /tmp anybody may have made a folder of our name first.

Opening one for writing: a symbolic link of root's is followed. One of another user's may lead only into a
folder of that same user's, as in deploys that run as the site's user (`current` -> `releases/42`). A file in
a folder that others may write must have no second name: that would be a hard link to anything. A process that
is not root can do only what its user may, and opens files as usual.

Removing one: a file is known by its device and inode, since its name may lead to another one at any time.

A folder of our own: one that somebody else has made is never used and never changed. One that is ours stays
ours: in a folder with the sticky bit nobody else may remove or rename it (unlink(2), rename(2)).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final, NamedTuple, TypeVar

from superwsgi import unpatched

_ROOT: Final = 0
_FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_ITSELF: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS: Final = 40  # as path_resolution(7) has it
_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH

_Self = TypeVar("_Self", bound="Inode")


def open_file(path: Path, flags: int, mode: int = 0) -> int:
    """As os.open. Raises OSError, with a reason of its own for a path that root does not follow."""
    if os.geteuid() != _ROOT:
        return os.open(path, flags, mode)
    way = _Way(path)
    try:
        return way.open(flags, mode)
    finally:
        way.close()


class _Link(NamedTuple):
    """One that is `by_kernel` is in /proc, and leads to what a process has open, not to a name (proc(5))."""

    owner: int
    target: str
    by_kernel: bool


class _Way:
    """The steps to a file, each taken from an open folder, so that steps already taken cannot be changed."""

    def __init__(self, path: Path) -> None:
        self._folder = os.open("/", _FOLDER)
        self._names = deque(path.absolute().parts[1:])
        self._links = 0
        self._strangers: set[int] = set()  # whose links were followed

    def close(self) -> None:
        unpatched.close(self._folder)

    def open(self, flags: int, mode: int) -> int:
        """Raises OSError."""
        while self._names:
            name = self._names.popleft()
            link = self._link(name)
            if link is not None:
                self._count(link)
                if not link.by_kernel:
                    self._follow(link.target)
                elif self._names:
                    self._enter(name)
                else:
                    return self._open_last(name, flags, mode)
            elif self._names:
                self._enter(name, os.O_NOFOLLOW)
            else:
                return self._open_last(name, flags | os.O_NOFOLLOW, mode)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))

    def _link(self, name: str) -> _Link | None:
        """None for what is no link, or not there."""
        try:
            fd = os.open(name, _ITSELF, dir_fd=self._folder)
        except FileNotFoundError:
            return None
        try:
            status = os.fstat(fd)
            if not stat.S_ISLNK(status.st_mode):
                return None
            by_kernel = status.st_dev == Path("/proc").stat().st_dev
            return _Link(status.st_uid, os.readlink("", dir_fd=fd), by_kernel)
        finally:
            unpatched.close(fd)

    def _count(self, link: _Link) -> None:
        self._links += 1
        if self._links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if link.owner != _ROOT:
            self._strangers.add(link.owner)

    def _follow(self, target: str) -> None:
        names = PurePath(target).parts
        if names[0] == "/":
            self._enter("/")
            names = names[1:]
        self._names.extendleft(reversed(names))

    def _enter(self, name: str, flags: int = 0) -> None:
        before, self._folder = self._folder, os.open(name, _FOLDER | flags, dir_fd=self._folder)
        unpatched.close(before)

    def _open_last(self, name: str, flags: int, mode: int) -> int:
        folder = os.fstat(self._folder)
        for stranger in self._strangers - {folder.st_uid}:
            raise OSError(errno.ELOOP, _led_astray(stranger, folder.st_uid))
        fd = os.open(name, flags, mode, dir_fd=self._folder)
        if _is_others(folder) and not _is_only_there(os.fstat(fd)):
            unpatched.close(fd)
            raise OSError(errno.ELOOP, _somewhere_else(folder.st_uid))
        return fd


def _led_astray(stranger: int, owner: int) -> str:
    return (
        f"leads by a link of user {stranger} into a folder of user {owner}, where root does not follow it: "
        "name the file itself, or let root make the link"
    )


def _somewhere_else(owner: int) -> str:
    return (
        f"is not a plain file with only this name, in a folder of user {owner} that others than root may "
        "write to: remove it, or name a file in a folder of root's"
    )


def _is_others(folder: os.stat_result) -> bool:
    """Whether anybody but root may have put there what is in it."""
    return folder.st_uid != _ROOT or bool(folder.st_mode & _OTHERS)


def _is_only_there(status: os.stat_result) -> bool:
    return stat.S_ISFIFO(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_nlink == 1)


@dataclass(frozen=True, slots=True)
class Inode:
    """The file that was at `path`, by its device and inode (stat(2))."""

    path: str
    device: int
    inode: int

    @classmethod
    def of(cls: type[_Self], path: str, status: os.stat_result) -> _Self:
        return cls(path, status.st_dev, status.st_ino)

    def matches(self, status: os.stat_result) -> bool:
        return (status.st_dev, status.st_ino) == (self.device, self.inode)

    def is_there(self) -> bool:
        """Whether it is still what its path names, a link to it not included."""
        try:
            return self.matches(os.lstat(self.path))
        except OSError:
            return False

    def remove(self) -> None:
        """Remove it, if it is still there and we may."""
        with contextlib.suppress(OSError), folder_of(self.path) as (folder, name):
            if self.matches(os.stat(name, dir_fd=folder, follow_symlinks=False)):
                os.unlink(name, dir_fd=folder)


@contextlib.contextmanager
def folder_of(path: str) -> Iterator[tuple[int, str]]:
    """The folder of a path, as a descriptor that stays valid if the folder is renamed, and the file's name in
    it. Raises OSError."""
    parent, name = os.path.split(path)
    fd = os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd, name
    finally:
        unpatched.close(fd)


class NotPrivate(Exception):
    """A folder may not be used; the text names it and says why."""


def make_private(folder: Path) -> None:
    """Make the folder, or make sure that it is ours. Raises NotPrivate."""
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        verify_private(folder)
        _close_to_others(folder)
    except OSError as error:
        raise NotPrivate(f"cannot make {folder}: {error.strerror}") from None


def verify_private(folder: Path) -> None:
    """Make sure that nobody else can have put anything into the folder. Raises NotPrivate, or
    FileNotFoundError if there is none."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotPrivate(f"{folder} is not a folder, and is not used")
    if found.st_uid != os.geteuid():
        raise NotPrivate(f"{folder} belongs to user {found.st_uid} and not to user {os.geteuid()}")
    if found.st_mode & _OTHERS:
        raise NotPrivate(f"others may write to {folder}, its mode is {stat.S_IMODE(found.st_mode):04o}")
    above = folder.parent.stat()
    if not above.st_mode & stat.S_ISVTX and (
        above.st_mode & _OTHERS or above.st_uid not in (0, os.geteuid())
    ):
        raise NotPrivate(f"others may rename what is in {folder.parent}")


def _close_to_others(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(fd, 0o700)
    finally:
        unpatched.close(fd)
