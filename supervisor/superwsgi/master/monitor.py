"""Looks at the workers' memory with psutil. What follows from it is decided in policy/memory.py."""

from __future__ import annotations

from typing import Literal

import psutil


def used(pid: int, measure: Literal["rss", "pss", "uss"]) -> int | None:
    """Bytes that a process uses: resident, proportional (shared pages divided) or unique.

    None once it is gone, or where the kernel does not let us look.
    """
    try:
        process = psutil.Process(pid)
        if measure == "rss":
            return int(process.memory_info().rss)
        return int(getattr(process.memory_full_info(), measure))
    except psutil.Error:
        return None
