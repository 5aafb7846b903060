"""When to give up a process that a signal has stopped (signal(7): SIGSTOP, SIGTSTP). Pure numbers: monitor.py
looks at the process table. A process held by a debugger does not count.
"""

from __future__ import annotations

from typing import Final

from superwsgi.log.spelling import duration

LOOK: Final = 1.5
"""Seconds between two looks. With PATIENCE, the process is ended at most five seconds after the signal."""

PATIENCE: Final = 3.0
"""Seconds in which it may be continued: a terminal's Ctrl-Z stops a whole site, the master included, and `fg`
wakes all of it, in any order."""


def is_lost(stopped_at: float | None, now: float) -> bool:
    """Whether to give up a process that was first seen stopped at `stopped_at`."""
    return stopped_at is not None and now - stopped_at >= PATIENCE


def spell(stopped_at: float, now: float) -> str:
    return f"stopped by a signal for {duration(now - stopped_at)} and not continued"
