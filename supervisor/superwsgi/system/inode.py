"""A file by what it is. Where somebody else may write the folder, such as the site's user, its name may lead
to something else at any time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

_Self = TypeVar("_Self", bound="Inode")


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
    """The folder of a path, as a descriptor that stays the same whatever becomes of its name, and the name in
    it. Raises OSError."""
    parent, name = os.path.split(path)
    fd = os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd, name
    finally:
        os.close(fd)
