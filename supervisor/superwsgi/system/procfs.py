"""What the kernel tells of processes, this one and others (proc(5)).

All but `exists` is empty where there is no /proc, or where this process may not read it: then nothing can
be found out. Needs nothing but the standard library, so that a process which has given up its rights can
still ask.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_PROC: Final = Path("/proc")


class Stat(NamedTuple):
    """Of a process: its name, the letter of its state, its parent and its session (proc_pid_stat(5))."""

    pid: int
    name: str
    state: str
    parent: int
    session: int = 0


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


def own_memory() -> tuple[int, int, int] | None:
    """Of this process, in bytes: what is resident, its part of what it shares, what is its own
    (smaps_rollup, proc_pid_smaps(5)); None where the kernel does not tell."""
    try:
        text = (_PROC / "self/smaps_rollup").read_text()
    except OSError:
        return None
    found = {name: 1024 * int(value) for name, value in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)}
    private = found.get("Private_Clean", 0) + found.get("Private_Dirty", 0)
    return found.get("Rss", 0), found.get("Pss", 0), private


def children() -> Iterator[Stat]:
    """Those of this process, whichever of its threads has started them; also those that are not reaped."""
    return (stat for stat in stats() if stat.parent == os.getpid())


def stats() -> Iterator[Stat]:
    """Of all processes that can be seen."""
    for pid in processes():
        with contextlib.suppress(OSError):  # it has just ended
            yield _stat(pid)


def stat_of(pid: int) -> Stat | None:
    """None for a process that has ended, and has been reaped."""
    try:
        return _stat(pid)
    except OSError:
        return None


def children_of(pid: int) -> list[int]:
    """Those of any process, whichever of its threads has started them; as far as one look finds them while
    others end (proc_tid_children(5))."""
    if not (_PROC / f"self/task/{os.getpid()}/children").exists():  # a kernel without CONFIG_PROC_CHILDREN
        return [stat.pid for stat in stats() if stat.parent == pid]
    tasks = _PROC / str(pid) / "task"
    found: list[int] = []
    for thread in _numbers(tasks):
        with contextlib.suppress(OSError):  # it has just ended
            found += map(int, (tasks / str(thread) / "children").read_text().split())
    return found


def command_line(pid: int) -> bytes:
    """The arguments of a process, each ended by a zero byte; empty for one that has ended."""
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return b""


def title(pid: int) -> str:
    """The same as words; of a title that a process has given itself the kernel keeps the padding."""
    return os.fsdecode(b" ".join(filter(None, command_line(pid).split(b"\0")))).strip()


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
    state, parent, _, session, *_ = after.split()
    return Stat(pid, before.partition("(")[2], state, int(parent), int(session))


def _numbers(folder: Path) -> list[int]:
    """The names in a folder that are numbers."""
    try:
        return [int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal()]
    except OSError:
        return []
