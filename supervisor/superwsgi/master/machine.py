"""What this process may use of the machine: CPUs and memory, control groups included.

Asked by the master when a generation begins; the decisions that follow from it are elsewhere.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from superwsgi.config.schema import Site
from superwsgi.master import cgroups


def workers(site: Site) -> int:
    """How many workers the site wants: its number, or one a usable CPU for `auto`."""
    return cpus() if site.workers == "auto" else site.workers


def cpus(root: Path = Path("/")) -> int:
    """CPUs that this process may use: those of its affinity (cpusets included), at most as many as its quota
    keeps busy; at least 1.

    A quota of 1.5 is 2: with one worker a third of it could not be used, as one worker computes on one CPU.
    """
    usable = len(os.sched_getaffinity(0))
    quota = cgroups.cpu_quota(root)
    return usable if quota is None else max(1, min(usable, math.ceil(quota)))


def memory(root: Path = Path("/")) -> int:
    """Bytes of memory that this process may use: the machine's, cut down by limits."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = cgroups.memory_limit(root)
    return total if limit is None else min(total, limit)


def holds_locks(pid: int, root: Path = Path("/")) -> bool:
    """Whether a process has locked a file (proc(5), /proc/locks), or that cannot be known."""
    try:
        lines = (root / "proc/locks").read_text().splitlines()
    except OSError:
        return True
    return any(_owner(line) == pid for line in lines)


def _owner(line: str) -> int:
    """`1: FLOCK ADVISORY WRITE 812 08:02:1835 0 EOF`, with `->` before the kind where it waits."""
    return int(line.replace("-> ", "").split()[4])
