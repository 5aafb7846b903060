"""When the poller has to look at deadlines, whatever else happens. Times are monotonic ns.

There is no entry a deadline: every connection and thread carries its own, and a look goes over all of them.
A request changes three deadlines and hardly ever meets one, so what counts is the price of changing: an
assignment here, against 0.15 us for moving an entry in an ordered dict. A look at 1,000 connections takes
some 50 us, and there is one when the earliest deadline is over, but none sooner than GRAIN after the last.
"""

from __future__ import annotations

import os
import threading
from typing import Final

SECOND: Final = 1_000_000_000
GRAIN: Final = SECOND // 10

NEVER: Final = (1 << 62) - 1
"""A deadline that does not come; one more would not fit the word that compiled code has for an int."""


def deadline_after(seconds: float) -> int:
    """A setting as ns; 0 switches a deadline off."""
    return int(seconds * SECOND) or NEVER


class Alarm:
    """`due` is the time of the next look; `fd` becomes readable when it was brought forward."""

    __slots__ = ("_lock", "due", "fd")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.due = NEVER
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def no_later_than(self, when: int) -> None:
        """From any thread. The poller, which may be asleep until a later time, is woken."""
        if when < self.due:
            with self._lock:
                self.due = min(self.due, when)
            self.wake()

    def wake(self) -> None:
        """End the poller's sleep, or keep it from falling asleep."""
        os.eventfd_write(self.fd, 1)

    def close_in_child(self) -> None:
        """In a child that the application forked."""
        os.close(self.fd)
        self.fd = -1

    def reset(self) -> None:
        """The poller is about to look, and will say when it has to look again."""
        with self._lock:
            self.due = NEVER
