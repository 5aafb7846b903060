"""What this process may use of the machine: CPUs and memory, control groups (cgroups(7), version 2) included.

Asked by the master when a generation begins; the decisions that follow from it are elsewhere.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from superwsgi.config.schema import Site

_CGROUPS = Path("/sys/fs/cgroup")


def workers(site: Site) -> int:
    """How many workers the site wants: its number, or one a usable CPU for `auto`."""
    return cpus() if site.workers == "auto" else site.workers


def cpus() -> int:
    """CPUs that this process may use: its affinity, cut down by CPU quotas; at least 1."""
    usable = len(os.sched_getaffinity(0))
    for folder in _own_cgroups():
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        if quota.isdigit() and period.isdigit():
            usable = min(usable, math.ceil(int(quota) / int(period)))
    return max(usable, 1)


def memory() -> int:
    """Bytes of memory that this process may use: the machine's, cut down by memory limits."""
    total: int = psutil.virtual_memory().total
    for folder in _own_cgroups():
        limit = _read(folder / "memory.max")
        if limit.isdigit():
            total = min(total, int(limit))
    return total


def _own_cgroups() -> Iterator[Path]:
    """Our control group's folder and those above it: each of them may hold a limit."""
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        if line.startswith("0::/"):
            own = _CGROUPS / line.removeprefix("0::/")
            yield own
            yield from (above for above in own.parents if above.is_relative_to(_CGROUPS))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
