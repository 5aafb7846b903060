"""The pipe into which a mold or a worker writes its stacks: when it is asked, or when it crashes.

It writes in the handler of a signal (faulthandler), which needs no GIL and must not wait for the reader of
the error log. So its end never blocks; what does not fit is lost. What arrives has no end mark: it is whole
when nothing more has come for a while, or the process is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

QUIET: Final = 0.25
"""Seconds without anything more after which a dump is whole. It comes in many small pieces, and the process
may have to wait for a CPU between two of them."""

LONGEST: Final = 512 << 10
"""Bytes that are kept of one dump."""

_ROOM: Final = 64 << 10
_OF_A_THREAD: Final = 4 << 10
"""Bytes: a pipe holds 64K. With many threads it should hold more, and the kernel allows an unprivileged user
16 MB in all before it makes that user's other pipes smaller (pipe-user-pages-soft, pipe(7))."""

_CUT: Final = b"\n... (cut short)\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody wants the stacks, for that reason: `tell` is called with them, or else they are logged."""

    why: str
    who: dict[str, object]
    tell: Callable[[str], object] | None = None


@dataclass(slots=True)
class Stacks:
    """Our end of a process's pipe; `end` is the other one, while that is needed. Each is -1 once closed.
    Times are monotonic seconds."""

    fd: int
    end: int = -1
    asked: list[Asked] = field(default_factory=list)
    heard_at: float | None = None  # when the last piece of what has not been taken came
    _written: bytearray = field(default_factory=bytearray)

    @classmethod
    def pipe(cls, threads: int) -> Stacks:
        """For a process with so many threads. Raises OSError."""
        ours, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        room = min(threads * _OF_A_THREAD, LONGEST)
        if room > _ROOM:
            with contextlib.suppress(OSError):  # more than this user may have
                fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, room)
        return cls(ours, theirs)

    def pass_on(self) -> None:
        """The process has its end: ours of it is closed, so that we notice when nobody writes any more."""
        if self.end >= 0:
            os.close(self.end)
            self.end = -1

    def read(self, now: float) -> bool:
        """Read what has been written; False once nobody can write any more."""
        with contextlib.suppress(BlockingIOError):
            piece = os.read(self.fd, LONGEST)
            if not piece:
                return False
            self.heard_at = now
            self._written += piece[: max(0, LONGEST - len(self._written))]
        return True

    def is_full(self) -> bool:
        """Whether more would be dropped."""
        return len(self._written) >= LONGEST

    def take(self) -> str:
        """What has been written since it was last taken."""
        text = bytes(self._written) + _CUT * self.is_full()
        self._written.clear()
        self.heard_at = None
        return text.decode("utf-8", "backslashreplace")

    def take_asked(self) -> list[Asked]:
        """Who has asked since that was last taken."""
        asked, self.asked = self.asked, []
        return asked

    def close(self) -> None:
        """What has not been taken is dropped."""
        self.take()
        self.pass_on()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
