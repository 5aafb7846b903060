"""Collects dead children. Runs in the master, which is a child subreaper (prctl(2)): workers, which their
mold forks twice over, and any other orphan below us end up as its children.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

from superwsgi.log.error import ErrorLog
from superwsgi.log.words import ending

_PR_SET_CHILD_SUBREAPER = 36
_KEPT = 256


ExitCode = int
"""How a process ended: its exit code, or the signal that killed it as a negative number."""


def become_subreaper() -> None:
    """Make orphaned descendants our children. Raises OSError where the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


class Reaper:
    """Hands out exit codes by process id, and keeps those that nobody has claimed yet for a while: a worker
    may die before its mold's word of its process id has been read."""

    def __init__(self, errors: ErrorLog) -> None:
        self._errors = errors
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
        while len(self._unclaimed) >= _KEPT:
            stranger = next(iter(self._unclaimed))
            self._errors.debug(
                "reaped a stranger", pid=stranger, status=ending(self._unclaimed.pop(stranger))
            )
        self._unclaimed[pid] = code

    def claim(self, pid: int) -> ExitCode | None:
        """How `pid` ended, if it has."""
        return self._unclaimed.pop(pid, None)
