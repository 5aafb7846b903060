"""What a look at this process can find, and what that is known by when it is made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

A_LOCK: Final = "a lock on"
"""How the words for a locked file begin."""

Key = tuple[object, ...]
"""Equal for the same thing when it is made and when it is found."""


@dataclass(frozen=True)
class Hazard:
    """One hazard: `what` it is, known by `keys`, the surest first."""

    what: str
    keys: tuple[Key, ...] = ()
    verb: str = "made"
    fd: int | None = None
    addresses: range = range(0)  # by these and `fd` the variable is found that holds it
    otherwise: str = ""  # said if it is not known who made it


def descriptor(fd: int) -> tuple[Key, Key]:
    """The second one is for duplicates of it, which libraries make. Raises OSError."""
    found = os.fstat(fd)
    inode = (found.st_dev, found.st_ino)
    return ("descriptor", fd, *inode), ("inode", *inode)


def lock(fd: int) -> Key:
    """Raises OSError."""
    found = os.fstat(fd)
    return "lock", found.st_dev, found.st_ino


def process(pid: int) -> Key:
    return "process", pid


def thread(ident: int | None) -> Key:
    return "thread", ident


def timer(which: int) -> Key:
    return "timer", which


def mapping(device: str, inode: str) -> Key:
    """As /proc/self/maps spells them."""
    return "mapping", device, inode
