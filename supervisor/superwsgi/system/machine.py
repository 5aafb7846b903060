"""What this process may use of the machine: CPUs and memory, control groups included.

Asked by the master when a generation begins; the decisions that follow from it are elsewhere.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from superwsgi.config.schema import Site
from superwsgi.system import cgroups


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
    """Whether a process may have locked a file (proc(5), /proc/locks). Of open file description locks, whose
    owner is -1, nobody can tell."""
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
