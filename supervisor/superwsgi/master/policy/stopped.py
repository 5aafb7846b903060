"""When a process that a signal has stopped (signal(7): SIGSTOP, SIGTSTP) is given up. Pure numbers:
monitor.py looks at the process table. A process that a debugger holds is not meant.
"""

from __future__ import annotations

from typing import Final

from superwsgi.log.spelling import duration

LOOK: Final = 1.5
"""Seconds between two looks. With PATIENCE, the end comes at most five seconds after the signal."""

PATIENCE: Final = 3.0
"""Seconds in which it may go on: a terminal's Ctrl-Z stops all of a site, the master included, and `fg` wakes
all of it, in any order."""


def is_lost(stopped_at: float | None, now: float) -> bool:
    """Whether a process that was first seen stopped at `stopped_at` is given up."""
    return stopped_at is not None and now - stopped_at >= PATIENCE


def spell(stopped_at: float, now: float) -> str:
    return f"stopped by a signal for {duration(now - stopped_at)} and not continued"
