"""What this process may use of the machine: CPUs and memory, as far as control groups let it; and who holds
file locks. Asked by the master when a generation begins; the decisions that follow from it are elsewhere.

Control groups: cgroups(7), versions 1 and 2, and both at once (hybrid). A process is in one group of each
hierarchy, and every group above it may hold a limit too: the tightest counts. /proc/self/mountinfo (proc(5))
says where a hierarchy is mounted, and which part of it a container sees there; /proc/self/cgroup, which group
is ours.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Final, Literal, NamedTuple

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
_UNIFIED: Final = "cgroup2"


class _Mount(NamedTuple):
    """`top` is the group that is seen at `point`."""

    kind: str
    controllers: frozenset[str]
    top: PurePosixPath
    point: Path


def workers(least: int | Literal["auto"], most: int | Literal["auto"]) -> tuple[int, int]:
    """How many that are: one a usable CPU for `auto`, which gives way where the other is a number."""
    if least == "auto":
        own = cpus()
        return (own, own) if most == "auto" else (min(own, most), most)
    return least, max(least, cpus()) if most == "auto" else most


def cpus(root: Path = Path("/")) -> int:
    """CPUs that this process may use: those of its affinity (cpusets included), at most as many as its quota
    keeps busy; at least 1.

    A quota of 1.5 is 2: with one worker a third of it could not be used, as one worker computes on one CPU.
    """
    usable = len(os.sched_getaffinity(0))
    quota = cpu_quota(root)
    return usable if quota is None else max(1, min(usable, math.ceil(quota)))


def memory(root: Path = Path("/")) -> int:
    """Bytes of memory that this process may use: the machine's, cut down by limits."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = memory_limit(root)
    return total if limit is None else min(total, limit)


class Room(NamedTuple):
    """Memory of a group or of the machine, in bytes: what its `limit` is, what is `needed` of it and
    cannot be had back by dropping files from the page cache, and what is `in_use` lately, files included
    (memory.current without inactive_file: the working set by which Kubernetes evicts). `name` is that of
    the limit."""

    name: str
    limit: int
    needed: int
    in_use: int

    @property
    def left(self) -> int:
        return self.limit - self.needed


def rooms(root: Path = Path("/")) -> list[Room]:
    """That of each control group with a limit, ours and those above it, and that of the machine, as far as
    they are known.

    memory.high counts like memory.max: beyond it a process hardly gets on (Documentation/admin-guide/
    cgroup-v2.rst of the kernel)."""
    known = [_room(folder, *_VERSION_2) for folder in _folders(root, "", _UNIFIED)]
    known += [_room(folder, *_VERSION_1) for folder in _folders(root, "memory", "cgroup")]
    return [room for room in (*known, _machines_room(root)) if room is not None]


def room(root: Path = Path("/")) -> Room | None:
    """Where memory is tightest. None if nothing is known."""
    return min(rooms(root), key=lambda each: each.left / each.limit, default=None)


def memory_pressure(root: Path = Path("/")) -> float | None:
    """The share of the last ten seconds, 0 to 1, in which nothing in our control group got on for want of
    memory (`full avg10` of memory.pressure: Documentation/accounting/psi.rst of the kernel), or on the whole
    machine, where the group does not say. None where the kernel does not."""
    files = [folder / "memory.pressure" for folder in islice(_folders(root, "", _UNIFIED), 1)]
    for file in (*files, root / "proc/pressure/memory"):
        found = re.search(r"^full avg10=([0-9.]+)", _read(file), re.MULTILINE)
        if found:
            return float(found[1]) / 100
    return None


_VERSION_2: Final = (("memory.max", "memory.high"), "memory.current", "inactive_file", "active_file")
_VERSION_1: Final = (
    ("memory.limit_in_bytes",),
    "memory.usage_in_bytes",
    "total_inactive_file",
    "total_active_file",
)


def _room(folder: Path, limits: tuple[str, ...], used: str, inactive: str, active: str) -> Room | None:
    """Of one group; None without a limit."""
    known = {name: int(text) for name in limits if (text := _read(folder / name)).isdigit()}
    current = _read(folder / used)
    name = min(known, key=lambda each: known[each], default=None)
    if name is None or not known[name] or not current.isdigit():
        return None
    stat = _read(folder / "memory.stat")
    in_use = max(0, int(current) - (_count(stat, inactive) or 0))
    return Room(name, known[name], max(0, in_use - (_count(stat, active) or 0)), in_use)


def _machines_room(root: Path) -> Room | None:
    """MemAvailable is what can be had without swapping (proc_meminfo(5))."""
    lines = _read(root / "proc/meminfo")
    total, available = (
        re.search(rf"^{name}: +(\d+) kB$", lines, re.MULTILINE) for name in ("MemTotal", "MemAvailable")
    )
    if total is None or available is None or not int(total[1]):
        return None
    used = 1024 * (int(total[1]) - int(available[1]))
    return Room("the machine", 1024 * int(total[1]), used, used)


def holds_locks(pid: int, root: Path = Path("/")) -> bool:
    """Whether a process may have locked a file (proc(5), /proc/locks). The owner of open file description
    locks, -1 there, is unknown: they count."""
    locks = _locks(root)
    return locks is None or any(owner in (pid, -1) for owner, waits in locks if not waits)


def locker(status: os.stat_result, root: Path = Path("/")) -> int | None:
    """The process that has locked a file (flock(2)), by its `status`; None where nobody has, it is in another
    pid namespace, or the file system has other numbers than fstat(2) tells."""
    where = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    found = re.search(rf"^\d+: FLOCK +\w+ +\w+ (\d+) {where} ", _read(root / "proc/locks"), re.MULTILINE)
    return int(found[1]) or None if found else None


def waits_for_lock(pid: int, root: Path = Path("/")) -> bool:
    """Whether a process waits until another one unlocks a file."""
    return (pid, True) in (_locks(root) or [])


def _locks(root: Path) -> list[tuple[int, bool]] | None:
    """(process, whether it only waits), from lines as `1: FLOCK ADVISORY WRITE 812 08:02:1835 0 EOF`, with an
    arrow before the kind of one that waits; None where that cannot be known."""
    try:
        lines = (root / "proc/locks").read_text().splitlines()
    except OSError:
        return None
    return [(int(line.replace(" -> ", " ").split()[4]), " -> " in line) for line in lines]


def cpu_quota(root: Path) -> float | None:
    """CPUs' worth of time a second, such as 1.5; None without a quota. `root` has /proc and /sys."""
    quotas = (_quota_v1(folder) for folder in _folders(root, "cpu", "cgroup"))
    unified = (_quota(_read(folder / "cpu.max")) for folder in _folders(root, "", _UNIFIED))
    return min((found for found in (*quotas, *unified) if found is not None), default=None)


def memory_limit(root: Path) -> int | None:
    """Bytes; None without a limit."""
    limits = (_read(folder / "memory.limit_in_bytes") for folder in _folders(root, "memory", "cgroup"))
    unified = (_read(folder / "memory.max") for folder in _folders(root, "", _UNIFIED))
    return min((int(text) for text in (*limits, *unified) if text.isdigit()), default=None)


def tasks(root: Path = Path("/")) -> int | None:
    """Processes and threads that our control group may have, at most (pids.max, cgroups(7)); None without a
    limit."""
    version_1 = (_read(folder / "pids.max") for folder in _folders(root, "pids", "cgroup"))
    unified = (_read(folder / "pids.max") for folder in _folders(root, "", _UNIFIED))
    return min((int(text) for text in (*version_1, *unified) if text.isdigit()), default=None)


def out_of_memory_kills(root: Path = Path("/")) -> int:
    """How many processes the kernel has killed so far because memory ran out: in our control group and those
    below it (`oom_kill` in memory.events, version 2, and in memory.oom_control, version 1: cgroups(7)); where
    there is none with such a count, on the whole machine (/proc/vmstat, proc(5))."""
    own = [next(_folders(root, "", _UNIFIED), None), next(_folders(root, "memory", "cgroup"), None)]
    names = ("memory.events", "memory.oom_control")
    counts = [_count(_read(folder / name)) for folder, name in zip(own, names, strict=True) if folder]
    known = [count for count in counts if count is not None]
    return max(known) if known else _count(_read(root / "proc/vmstat")) or 0


def _count(text: str, name: str = "oom_kill") -> int | None:
    """From lines such as `oom_kill 3`."""
    found = re.search(rf"^{name} (\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else None


def _quota(text: str) -> float | None:
    """`150000 100000`: microseconds of every so many; `max` or a negative number of them is no quota."""
    quota, _, period = text.partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _quota_v1(folder: Path) -> float | None:
    return _quota(f"{_read(folder / 'cpu.cfs_quota_us')} {_read(folder / 'cpu.cfs_period_us')}")


def _folders(root: Path, controller: str, kind: str) -> Iterator[Path]:
    """Our group's folder and those above it, as far as they can be seen. "" is the unified hierarchy."""
    own = _own_group(root, controller)
    if own is None:
        return
    for mount in _mounts(root):
        if mount.kind == kind and (kind == _UNIFIED or controller in mount.controllers):
            # In a container's own name space the path may lead out of what is mounted: then its top is ours.
            inside = own.relative_to(mount.top) if own.is_relative_to(mount.top) else PurePosixPath()
            folder = mount.point.joinpath(*(part for part in inside.parts if part != ".."))
            yield from (at for at in (folder, *folder.parents) if at.is_relative_to(mount.point))


def _own_group(root: Path, controller: str) -> PurePosixPath | None:
    """`4:memory:/docker/3f`, and `0::/docker/3f` of the unified hierarchy."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return PurePosixPath(path)
    return None


@cache
def _mounts(root: Path) -> tuple[_Mount, ...]:
    """`35 31 0:32 /docker/3f /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory`. They stay what
    they are: read once, as a host of containers has thousands of lines."""
    return tuple(_parsed_mounts(root))


def _parsed_mounts(root: Path) -> Iterator[_Mount]:
    for line in _read(root / "proc/self/mountinfo").splitlines():
        mount, _, filesystem = line.partition(" - ")
        kind, _, options = filesystem.split(" ", 2)
        if kind in ("cgroup", _UNIFIED):
            top, point = (_plain(field) for field in mount.split(" ")[3:5])
            yield _Mount(kind, frozenset(options.split(",")), PurePosixPath(top), root / point.lstrip("/"))


def _plain(field: str) -> str:
    """A space in a path is \\040."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), field)


def _read(path: Path) -> str:
    """Empty where there is no such file."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
