"""Which mold or worker of ours a process is a forked copy of, directly or through other copies.

Molds and workers carry a mark: an empty memory mapping whose name says who they are, as /proc/<pid>/maps
shows. fork(2) copies it and execve(2) drops it, so it tells copies from programs, whatever they call
themselves. Where maps may not be read (another user's process, without CAP_SYS_PTRACE) the title that a copy
is given has to do, though the application may have changed it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from superwsgi import unpatched
from superwsgi.system import libc, procfs

_NAME: Final = "superwsgi-lineage"
_MAPPING: Final = re.compile(rb"/memfd:superwsgi-lineage:(\d+):(\d+)")
TITLE: Final = "superwsgi: fork of {owner}, "
_TITLED: Final = re.compile(rb"superwsgi: fork of (\d+), ")

_ROUNDS: Final = 10


@dataclass(frozen=True, slots=True)
class Mark:
    """`owner` is the mold or worker, `mold` the one that this was forked from: process ids."""

    mold: int
    owner: int


class _Carried:
    mark: Mark | None = None
    address: int | None = None


def carry() -> None:
    """Be a mold from now on, or a worker of the mold whose mark is here already. Without memfd or /proc,
    copies cannot be told from programs."""
    before, own = _Carried.mark, os.getpid()
    mark = Mark(before.mold if before is not None else own, own)
    with contextlib.suppress(OSError):
        address = _map(f"{_NAME}:{mark.mold}:{mark.owner}")
        if _Carried.address is not None:
            libc.unmap_page(_Carried.address)
        _Carried.mark, _Carried.address = mark, address


def carried() -> Mark | None:
    """The mark of this process."""
    return _Carried.mark


def mark_of(pid: int) -> Mark | None:
    """That of a process; None for a program, and for one that has ended."""
    try:
        found = _MAPPING.search(Path(f"/proc/{pid}/maps").read_bytes())
    except PermissionError:
        return _titled(pid)
    except OSError:
        return None
    return Mark(int(found[1]), int(found[2])) if found else None


def end_copies() -> None:
    """Kill the copies of this process, which nobody else does once the master is gone, and those of its mold,
    if no sibling is left to use them. In several rounds, because they may fork meanwhile."""
    for _ in range(_ROUNDS):
        copies = [*_left_by(os.getpid())]
        for copy in copies:
            with contextlib.suppress(OSError):
                os.kill(copy, signal.SIGKILL)
        if not copies:
            return


def _left_by(last: int) -> Iterator[int]:
    marks = {pid: mark for pid in procfs.processes() if (mark := mark_of(pid)) is not None}
    own = marks.get(last)
    if own is None:
        return
    siblings = [pid for pid, mark in marks.items() if mark.owner == pid != last and mark.mold == own.mold]
    gone = {last} if siblings else {last, own.mold}
    yield from (pid for pid, mark in marks.items() if mark.owner in gone and pid != mark.owner)


def _titled(pid: int) -> Mark | None:
    found = _TITLED.match(procfs.command_line(pid))
    return Mark(int(found[1]), int(found[1])) if found else None


def _map(name: str) -> int:
    """Raises OSError."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    try:
        return libc.map_page(fd)
    finally:
        unpatched.close(fd)
