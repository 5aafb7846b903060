"""Where a path leads, and never outside of its folder: the one place that opens files for clients.

A path is followed twice: by name, to see whether there is a regular file, and then without any symbolic link,
from the folder down. Between the two, somebody may put a link anywhere: it is not followed. Paths are bytes,
as the kernel has them.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from typing import Final, NamedTuple

from superwsgi import unpatched

_STEP: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LAST: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO must not hold us up

_HIDDEN: Final = re.compile(rb"(?:^|/)\.(?!\.|well-known(?:/|$))")
"""A name that begins with a dot, as .git and .env do; but not with two: in a volume of Kubernetes each file
is a link through ..data. Who asks may see to it where .well-known is meant."""


class Missing(Exception):
    """There is no such file."""


class Unsendable(Exception):
    """There is something, which is not to be sent: `reason` says why, `then` what an operator can do. Whether
    there is shows only where it was `seen`."""

    def __init__(self, reason: str, then: str = "", *, seen: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.then = then
        self.seen = seen


class OpenFile(NamedTuple):
    """A regular file, open for reading; whoever gets it closes it."""

    fd: int
    status: os.stat_result


def open_file(folder: bytes, path: bytes, *, hidden: bool = True) -> OpenFile:
    """The file at `path`, an absolute one that begins with that of `folder`; `hidden`: also one whose name
    begins with a dot, perhaps by a link. Raises Missing, Unsendable."""
    seen = False
    try:
        _look(path)
        seen = True
        top = os.path.realpath(folder, strict=True)
        below = _below(top, os.path.realpath(path, strict=True))
        if not hidden and _HIDDEN.search(below):
            raise Unsendable("its name begins with a dot")
        return _opened(_walk(top, below))
    except PermissionError:
        then = f"let user {os.geteuid()} read the file, and enter the folders above it"
        raise Unsendable("permission denied", then, seen=seen) from None
    except (OSError, ValueError):  # ValueError: a zero byte
        raise Missing from None


def _look(path: bytes) -> None:
    """Raises Missing, Unsendable, OSError."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise Missing
    if not stat.S_ISREG(mode):
        raise Unsendable("it is no regular file")


def _below(top: bytes, path: bytes) -> bytes:
    above = top.rstrip(b"/") + b"/"
    if not path.startswith(above):
        raise Unsendable(
            f"a symbolic link leads out of the folder, to {os.fsdecode(path)}",
            "name the folder that it leads to in the site file, too, or put a copy in the place of the link",
        )
    return path[len(above) :]


def _walk(top: bytes, below: bytes) -> int:
    """Open a file by names none of which is a link. Raises OSError."""
    *folders, name = below.split(b"/")
    here = os.open(top, _STEP)
    try:
        for folder in folders:
            before, here = here, os.open(folder, _STEP, dir_fd=here)
            unpatched.close(before)
        return os.open(name, _LAST, dir_fd=here)
    finally:
        unpatched.close(here)


def _opened(fd: int) -> OpenFile:
    """Raises Missing for what has become something else meanwhile."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        unpatched.close(fd)
        raise Missing
    return OpenFile(fd, status)


def is_there(path: bytes) -> bool:
    """Whether there is anything by that name, even a link to nowhere."""
    with contextlib.suppress(ValueError):
        return os.path.lexists(path)
    return False
