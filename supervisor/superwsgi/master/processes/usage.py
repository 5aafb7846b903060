"""What one process uses, and whether it runs, as the kernel tells psutil. Whoever asks may find it gone."""

from __future__ import annotations

from typing import Literal

import psutil

from superwsgi.master.memory.series import Figures


def cpu_seconds(pid: int) -> float | None:
    """What a process has spent, in user and system mode. None once it is gone."""
    try:
        times = psutil.Process(pid).cpu_times()
    except (psutil.Error, OSError):
        return None
    return float(times.user + times.system)


def memory_used(pid: int, measure: Literal["rss", "pss", "uss"]) -> int | None:
    """Bytes that a process uses: resident, proportional (shared pages divided) or unique.

    None once it is gone, or if the kernel does not let us look.
    """
    try:
        process = psutil.Process(pid)
        if measure == "rss":
            return int(process.memory_info().rss)
        return int(getattr(process.memory_full_info(), measure))
    except (psutil.Error, OSError):  # for example no descriptor left
        return None


def memory_figures(pid: int, now: float) -> Figures | None:
    """All of them, in one read of the kernel's. None as for memory_used."""
    try:
        full = psutil.Process(pid).memory_full_info()
    except (psutil.Error, OSError):
        return None
    return Figures(now, int(full.rss), int(full.pss), int(full.uss))


def switches_when_stopped(pid: int) -> int | None:
    """The context switches of a process's main thread, if a signal has stopped it (state T, not t:
    proc_pid_stat(5)); else None."""
    try:
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_STOPPED:
            return None
        return sum(process.num_ctx_switches())
    except NotImplementedError:  # a kernel that does not count them
        return 0
    except (psutil.Error, OSError):
        return None
