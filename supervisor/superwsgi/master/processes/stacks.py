"""Where the processes of a generation write their stacks, when they are asked for them or crash: a pipe.

They do so in a signal's handler (faulthandler), which would wait for whoever reads the error log. A pipe of
our own does not wait; we read it, and pass on whole lines to the log.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from superwsgi.master.eventloop import EventLoop

_AT_ONCE = 64 << 10
"""Bytes: what a pipe holds."""


class Stacks:
    """`ends`: the pipe of an earlier program of this process, to read from and to write to.

    Raises OSError.
    """

    def __init__(self, loop: EventLoop, ends: tuple[int, int] | None = None) -> None:
        self._loop = loop
        self.ends = ends or os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._say: Callable[[str], object] | None = None
        self._begun = b""

    def tell(self, say: Callable[[str], object]) -> None:
        """From now on `say` is told what is written."""
        self._say = say
        self._loop.on_readable(self.ends[0], lambda _: self.hear())

    def hear(self) -> None:
        """Tell what is there by now; what is written meanwhile waits for the next turn."""
        if self._say is None:
            return
        with contextlib.suppress(BlockingIOError):
            self._begun += os.read(self.ends[0], _AT_ONCE)
        end = len(self._begun) if len(self._begun) > _AT_ONCE else self._begun.rfind(b"\n") + 1
        lines, self._begun = self._begun[:end], self._begun[end:]
        self._say(lines.decode("utf-8", "backslashreplace"))

    def close(self) -> None:
        self._loop.forget(self.ends[0])
        for end in self.ends:
            os.close(end)
