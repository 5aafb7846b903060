"""What an examination of this process can find, and the keys by which it is recorded when it is made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

A_LOCK: Final = "a lock on"
"""How the description of a locked file begins."""

Key = tuple[object, ...]
"""The same when a thing is made and when it is found."""


@dataclass(frozen=True)
class Hazard:
    """One hazard: `what` it is, identified by `keys`, the most reliable first."""

    what: str
    keys: tuple[Key, ...] = ()
    verb: str = "made"
    fd: int | None = None
    addresses: range = range(0)  # these and `fd` identify the variable that holds it
    otherwise: str = ""  # added if its maker is not known


def descriptor(fd: int) -> tuple[Key, Key]:
    """The second key is for the duplicates that libraries make. Raises OSError."""
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
    """`device` and `inode` as /proc/self/maps spells them."""
    return "mapping", device, inode
