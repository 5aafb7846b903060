"""What the kernel says of our children. The master is a child subreaper (prctl(2)): workers, which their mold
double-forks, and any other orphans below us become its children.

A child can make its parent its tracer (PTRACE_TRACEME of ptrace(2)). Then the kernel tells of each signal
that it gets, and has it wait for us: that is no end. It goes on without being traced, and who does so again
at once is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Final

from superwsgi.system import libc

_PR_SET_CHILD_SUBREAPER: Final = 36

_STOPS: Final = (os.CLD_TRAPPED, os.CLD_STOPPED)
"""What waitid(2) tells of a child that we trace, also if it was not asked to."""


def become_subreaper() -> None:
    """Make orphaned descendants our children. Raises OSError if the kernel refuses."""
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)


def ended() -> Iterator[tuple[int, int]]:
    """Every child that has ended, and how, as os.waitstatus_to_exitcode says it. While one is being yielded,
    its process id is still its own."""
    traced: set[int] = set()
    while True:
        try:
            child = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if child is None:
            return
        if child.si_code in _STOPS:
            _stop_tracing(child.si_pid, child.si_status, again=child.si_pid in traced)
            traced.add(child.si_pid)
            continue
        exited = child.si_code == os.CLD_EXITED
        yield child.si_pid, child.si_status if exited else -child.si_status
        with contextlib.suppress(ChildProcessError):  # a script that calls superwsgi.run may wait for its own
            os.waitid(os.P_PID, child.si_pid, os.WEXITED | os.WNOHANG)


def _stop_tracing(pid: int, number: int, *, again: bool) -> None:
    try:
        if again:
            os.kill(pid, signal.SIGKILL)
        libc.stop_tracing(pid, 0 if number == signal.SIGTRAP else number)
    except OSError:  # it was killed meanwhile, or is another user's: do not be told of this stop again
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG)


def is_child(pid: int) -> bool:
    """Whether a process is our child and has not been reaped."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
