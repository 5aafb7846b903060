"""Collects dead children. Runs in the master, which is a child subreaper (prctl(2)): workers, which their
mold forks twice over, and any other orphan below us end up as its children.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

_PR_SET_CHILD_SUBREAPER = 36


ExitCode = int
"""How a process ended: its exit code, or the signal that killed it as a negative number."""


def become_subreaper() -> None:
    """Make orphaned descendants our children. Raises OSError where the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


class Reaper:
    """Hands out exit codes by process id, and keeps those that a worker may still claim whose own word of its
    process id has not been read yet."""

    def __init__(self) -> None:
        self._unclaimed: dict[int, ExitCode] = {}

    def collect(self) -> Iterator[tuple[int, ExitCode]]:
        """Every child that has ended by now."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)
            except ChildProcessError:
                return
            if ended is None:
                return
            exited = ended.si_code == os.CLD_EXITED
            yield ended.si_pid, ended.si_status if exited else -ended.si_status

    def keep(self, pid: int, code: ExitCode) -> None:
        """Nobody knows `pid` yet: a worker just forked, or a stranger that an application left behind."""
        self._unclaimed[pid] = code

    def claim(self, pid: int) -> ExitCode | None:
        """How `pid` ended, if it has."""
        return self._unclaimed.pop(pid, None)

    def forget(self) -> None:
        """Nobody is there to claim: process ids come round again."""
        self._unclaimed.clear()
