"""When the poller has to look at deadlines, even if nothing else happens. Times are monotonic ns.

There is no list of deadlines: every connection and thread carries its own, and a look goes over all of them.
A request changes three deadlines and hardly ever reaches one, so what counts is the cost of a change: an
assignment here, against 0.15 us for moving an entry in an ordered dict. A look at 1,000 connections takes
some 50 us, and happens when the earliest deadline passes, but no sooner than GRAIN after the last one.
"""

from __future__ import annotations

import os
from typing import Final

from superwsgi import unpatched

SECOND: Final = 1_000_000_000
GRAIN: Final = SECOND // 10

NEVER: Final = (1 << 62) - 1
"""A deadline that never comes; a larger number would not fit into compiled code's word for an int."""


def deadline_after(seconds: float) -> int:
    """A setting in ns; 0 switches a deadline off."""
    return int(seconds * SECOND) or NEVER


class Alarm:
    """`due` is the time of the next look; `fd` becomes readable when that is brought forward."""

    __slots__ = ("_lock", "due", "fd")

    def __init__(self) -> None:
        self._lock = unpatched.RLock()
        self.due = NEVER
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def no_later_than(self, when: int) -> None:
        """Look at that time at the latest. From any thread; wakes the poller if it sleeps for longer."""
        if when < self.due:
            with self._lock:
                self.due = min(self.due, when)
            self.wake()

    def wake(self) -> None:
        """Wake the poller, or keep it from falling asleep."""
        os.eventfd_write(self.fd, 1)

    def close_in_child(self) -> None:
        """In a child that the application forked."""
        unpatched.close(self.fd)
        self.fd = -1

    def reset(self) -> None:
        """The poller is about to look, and will then say when to look again."""
        with self._lock:
            self.due = NEVER
