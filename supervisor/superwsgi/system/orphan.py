"""Ending with the master even in an import, which may take minutes, or for ever.

The kernel ends a mold, or a worker that still boots, when the master is gone (prctl(2), PR_SET_PDEATHSIG). A
worker that serves sees its channel end instead, and drains. The master is the parent of a worker by being the
nearest child subreaper above it. A companion is told by its own signal.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Final

from superwsgi import unpatched
from superwsgi.system import libc

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_ADOPTION: Final = 1.0
"""Seconds that the process in between is given to end, after which its child is the master's."""


def end_with(master: int, number: int = signal.SIGKILL) -> None:
    """As `follow`; end at once where it has ended."""
    if not follow(master, number):
        os._exit(0)


def follow(master: int, number: int) -> bool:
    """Get this signal when process `master`, our parent now or in a moment, ends; False where it has.

    It stays over execve(2), unless that gives other rights; setting user or group undoes it.
    """
    patience = time.monotonic() + _ADOPTION
    while os.getppid() != master and time.monotonic() < patience:
        unpatched.sleep(0.001)
    libc.prctl(_PR_SET_PDEATHSIG, number)
    return os.getppid() == master


def outlive() -> None:
    """Take `end_with` back."""
    libc.prctl(_PR_SET_PDEATHSIG, 0)


def leave_to_master() -> None:
    """Let the master be the parent of what this process forks twice over, although the application may have
    made this process a child subreaper."""
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 0)
