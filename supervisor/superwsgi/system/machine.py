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


def workers(wanted: int | Literal["auto"]) -> int:
    """How many that is: one a usable CPU for `auto`."""
    return cpus() if wanted == "auto" else wanted


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


def holds_locks(pid: int, root: Path = Path("/")) -> bool:
    """Whether a process may have locked a file (proc(5), /proc/locks). The owner of open file description
    locks, -1 there, is unknown: they count."""
    locks = _locks(root)
    return locks is None or any(owner in (pid, -1) for owner, waits in locks if not waits)


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


def out_of_memory_kills(root: Path = Path("/")) -> int:
    """How many processes the kernel has killed so far because memory ran out: in our control group and those
    below it (`oom_kill` in memory.events, version 2, and in memory.oom_control, version 1: cgroups(7)); where
    there is none with such a count, on the whole machine (/proc/vmstat, proc(5))."""
    own = [next(_folders(root, "", _UNIFIED), None), next(_folders(root, "memory", "cgroup"), None)]
    names = ("memory.events", "memory.oom_control")
    counts = [_count(_read(folder / name)) for folder, name in zip(own, names, strict=True) if folder]
    known = [count for count in counts if count is not None]
    return max(known) if known else _count(_read(root / "proc/vmstat")) or 0


def _count(text: str) -> int | None:
    """From lines such as `oom_kill 3`."""
    found = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
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
