"""Why a worker had to be replaced: a closed set of words, for those who count. Pure: what the master has
noted of a worker, and how it ended, come from elsewhere.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum
from typing import Final

_FROM_OUTSIDE: Final = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGQUIT, -signal.SIGHUP)
"""Signals that no fault of a program raises: somebody has sent them."""


class Cause(Enum):
    CRASH = "crash"  # a fatal signal, such as SIGSEGV
    KILLED = "killed"  # by somebody else
    OUT_OF_MEMORY = "out of memory"  # by the kernel, for want of memory
    EXIT = "exit"  # by itself
    BOOT = "boot"  # it did not get as far as serving
    HANG = "hang"  # no heartbeat
    STOPPED = "stopped"  # by a signal, and not continued
    BROKEN = "broken"  # it has sent an impossible message, or does not listen
    STUCK = "stuck thread"  # a request was ended, but its thread goes on
    MEMORY_HARD = "memory.hard"
    MEMORY_SOFT = "memory.soft"
    MEMORY_SHORT = "memory short"  # of its control group, or of the machine
    REQUESTS_MAX = "requests.max"
    REQUESTS_AGE = "requests.age"
    LISTENER = "listener"  # it had one that could not be mended
    ASKED = "asked"  # by an operator


PLANNED: Final = (Cause.REQUESTS_MAX, Cause.REQUESTS_AGE, Cause.ASKED)
"""Nothing is wrong with a worker that is replaced because of these."""


_OF_REQUESTS: Final = (Cause.CRASH, Cause.OUT_OF_MEMORY, Cause.EXIT, Cause.HANG, Cause.MEMORY_HARD)


@dataclass(frozen=True, slots=True)
class EndView:
    """A worker that has ended: `code` as of os.waitstatus_to_exitcode, None if there never was a process.
    `asked_to_go` by the master, because of `cause` if that was not planned. It has `failed` if it could not
    boot, or had to be ended as broken; `served` if it got as far as that."""

    code: int | None
    asked_to_go: bool
    cause: Cause | None
    failed: bool
    served: bool
    memory_ran_out: bool = False


def classify(end: EndView) -> Cause | None:
    """Why it has to be replaced; None for one that was to go: replaced by a later generation, one too many,
    or stopped with the site."""
    if end.cause is not None:
        return end.cause
    if end.failed:
        return Cause.BROKEN if end.served else Cause.BOOT
    if end.asked_to_go:
        return None
    if not end.served:
        return Cause.BOOT
    return _by_its_end(end)


def may_be_of_a_request(end: EndView, *, accepting: bool) -> bool:
    """Whether a request that it had in hand may have ended it: a fatal error, os._exit, more memory than
    there is or it may use, a hang. One that exits with 0, and had stopped `accepting`, was told to by
    somebody."""
    if end.code is not None and end.code < 0 and end.code not in _FROM_OUTSIDE:
        return end.served
    cause = classify(end)
    return cause in _OF_REQUESTS and (end.code != 0 or accepting)


def _by_its_end(end: EndView) -> Cause:
    if end.memory_ran_out:
        return Cause.OUT_OF_MEMORY
    if end.code is None or end.code >= 0:
        return Cause.EXIT
    return Cause.KILLED if end.code in _FROM_OUTSIDE else Cause.CRASH
