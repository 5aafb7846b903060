"""Reaps dead children. Runs in the master, which is a child subreaper (prctl(2)): workers, which their mold
double-forks, and any other orphans below us become its children.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Final

from superwsgi.system import libc

_PR_SET_CHILD_SUBREAPER: Final = 36

ExitCode = int
"""How a process ended: its exit code, or the signal that killed it as a negative number."""


def become_subreaper() -> None:
    """Make orphaned descendants our children. Raises OSError if the kernel refuses."""
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)


def ended() -> Iterator[tuple[int, ExitCode]]:
    """Every child that has ended. While one is being yielded, its process id is still its own."""
    while True:
        try:
            child = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if child is None:
            return
        exited = child.si_code == os.CLD_EXITED
        yield child.si_pid, child.si_status if exited else -child.si_status
        with contextlib.suppress(ChildProcessError):  # a script that calls superwsgi.run may wait for its own
            os.waitid(os.P_PID, child.si_pid, os.WEXITED | os.WNOHANG)


def is_child(pid: int) -> bool:
    """Whether a process is our child and has not been reaped."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
