"""A folder that only its user may enter, in a place such as /tmp, where somebody else may have made one of
the same name first.

What somebody else has made is never used and never changed. What is found to be ours stays ours: in a folder
with the sticky bit nobody else may remove or rename it (unlink(2), rename(2)).
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


class NotPrivate(Exception):
    """A folder may not be used; the text names it and says why."""


def make(folder: Path) -> None:
    """Make the folder, or make sure that it is ours. Raises NotPrivate."""
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        verify(folder)
        _close_to_others(folder)
    except OSError as error:
        raise NotPrivate(f"cannot make {folder}: {error.strerror}") from None


def verify(folder: Path) -> None:
    """Make sure that nobody else can have put anything into the folder. Raises NotPrivate, or
    FileNotFoundError if there is none."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotPrivate(f"{folder} is not a folder, so it is not used")
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
        os.close(fd)
