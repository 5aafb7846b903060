"""The descriptors of this process, as the kernel reports them: fstat(2), and /proc/self/fd and fdinfo of
proc(5)."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from superwsgi.system import procfs

Identity = tuple[object, ...]
"""Equal for the same thing."""

_ANONYMOUS: Final = "anon_inode:"


@dataclass(frozen=True)
class Open:
    """One open descriptor."""

    fd: int
    target: str  # what the kernel calls it: a path, `socket:[4711]`, `anon_inode:[eventpoll]`
    stat: os.stat_result
    flags: int  # as of open(2)
    position: int  # its offset, in bytes
    locked: bool  # flock(2), or this process by fcntl(2)

    @property
    def place(self) -> Identity:
        """Equal as long as the number means the same open file."""
        return self.fd, self.stat.st_dev, self.stat.st_ino

    @property
    def identity(self) -> Identity:
        """Equal for duplicates (dup(2)) at any one time."""
        if self.target.startswith(_ANONYMOUS):  # they all share one inode
            return self.place
        inode = (self.stat.st_dev, self.stat.st_ino)
        # A file that is opened twice has two offsets.
        return (*inode, self.position, self.flags & ~os.O_CLOEXEC) if self.is_file else inode

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.stat.st_mode)

    @property
    def is_deleted(self) -> bool:
        return self.is_file and self.stat.st_nlink == 0

    @property
    def is_inheritable(self) -> bool:
        """Whether it survives execve(2)."""
        return not self.flags & os.O_CLOEXEC

    @property
    def only_reads(self) -> bool:
        return self.flags & os.O_ACCMODE == os.O_RDONLY

    @property
    def kind(self) -> str:
        """Such as `eventpoll` for a descriptor without any file, else empty."""
        name = self.target.removeprefix(_ANONYMOUS)
        return "" if name == self.target else name.strip("[]")

    @property
    def path(self) -> str:
        return self.target.removesuffix(" (deleted)")


def all_open() -> list[Open]:
    found = []
    for fd in procfs.descriptors():
        with contextlib.suppress(OSError):  # the one used for listing, or a thread has closed it
            found.append(_look(fd))
    return found


def _look(fd: int) -> Open:
    """Raises OSError."""
    target = str(Path(f"/proc/self/fd/{fd}").readlink())
    fields: dict[str, str] = {}
    for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines():
        name, _, value = line.partition(":")
        fields[name] = value.strip()
    flags, position = int(fields.get("flags", "0"), 8), int(fields.get("pos", "0"))
    return Open(fd, target, os.fstat(fd), flags, position, "lock" in fields)
