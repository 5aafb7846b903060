"""What the kernel tells of processes, this one and others (proc(5)).

All but `exists` is empty where there is no /proc, or where this process may not read it: then nothing can
be found out. Needs nothing but the standard library, so that a process which has given up its rights can
still ask.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_PROC: Final = Path("/proc")


class Stat(NamedTuple):
    """Of a process: its name, the letter of its state, and its parent (proc_pid_stat(5))."""

    pid: int
    name: str
    state: str
    parent: int


def processes() -> list[int]:
    """All that can be seen."""
    return _numbers(_PROC)


def threads() -> list[int]:
    """Those of this process, by their native ids."""
    return _numbers(_PROC / "self/task")


def awake(thread: int) -> float | None:
    """Seconds that a thread of this process has computed so far, or waited for a processor to do so: by its
    native id, None once it has ended.

    The first two figures of its schedstat are these, in ns, and the third is how often it had a processor
    (Documentation/scheduler/sched-stats.rst of the kernel). A kernel may keep none of them; then it is what
    it has computed, utime and stime of proc_pid_stat(5), in clock ticks.
    """
    task = _PROC / "self/task" / str(thread)
    try:
        computed, waited, turns = map(int, (task / "schedstat").read_bytes().split())
        return (computed + waited) / 1e9 if turns else _computed(task)
    except (OSError, ValueError):
        return _computed(task)


def _computed(task: Path) -> float | None:
    try:
        fields = (task / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors() -> list[int]:
    """What this process has open, and the one that was open just to list them."""
    return _numbers(_PROC / "self/fd")


def children() -> Iterator[Stat]:
    """Those of this process, whichever of its threads has started them; also those that are not reaped."""
    for pid in processes():
        with contextlib.suppress(OSError):  # it has just ended
            stat = _stat(pid)
            if stat.parent == os.getpid():
                yield stat


def command_line(pid: int) -> bytes:
    """The arguments of a process, each ended by a zero byte; empty for one that has ended."""
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return b""


def exists(pid: int) -> bool:
    """Whether a process has that number, whoever's it is (kill(2))."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _stat(pid: int) -> Stat:
    """Raises OSError. The name may have spaces and parentheses in it."""
    before, _, after = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")
    state, parent, *_ = after.split()
    return Stat(pid, before.partition("(")[2], state, int(parent))


def _numbers(folder: Path) -> list[int]:
    """The names in a folder that are numbers."""
    try:
        return [int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal()]
    except OSError:
        return []
