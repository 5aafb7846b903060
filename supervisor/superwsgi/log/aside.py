"""What is said on a process's own stderr of an error log that is something else, and cannot be written: that
lines are dropped, once for each cause, and when they are written again. There a supervisor, the journal or
somebody at a terminal finds it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from superwsgi.log.rate_limit import Complaint


class Trouble:
    """With one log, as its outlet has it. `say` is called with level, event and fields."""

    __slots__ = ("_complaints", "_said", "_say")

    def __init__(self, say: Callable[..., None]) -> None:
        self._say = say
        self._complaints: dict[str, Complaint] = {}  # by reason
        self._said = False  # since it worked

    def loses(self, reason: str) -> None:
        complaint = self._complaints.setdefault(reason, Complaint(self._complain, "error log failed"))
        self._said |= complaint.make(time.monotonic_ns(), reason=reason, next="drops until it works")

    def works(self, dropped: int) -> None:
        if self._said:
            self._say("info", "error log works again", dropped=dropped)
        self._said = False

    def ends(self, dropped: int) -> None:
        """The process does, and so many lines were dropped of which the log does not tell."""
        if dropped:
            self._say("warning", "error log dropped", lines=dropped)

    def _complain(self, event: str, _detail: str, **fields: object) -> None:
        self._say("error", event, **fields)


def is_same(fd: int, other: int) -> bool:
    """Whether both descriptors lead to the same file, pipe, socket or terminal."""
    return os.path.samestat(os.fstat(fd), os.fstat(other))
