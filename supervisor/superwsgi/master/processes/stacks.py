"""The pipe to which the processes of a generation write their stacks, when asked or when they crash.

They do so in a signal handler (faulthandler), which would have to wait for the reader of the error log. A
pipe of our own does not make them wait; we read it, and pass on whole lines to the log.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from superwsgi.master.eventloop import EventLoop

_AT_ONCE = 64 << 10
"""Bytes that a pipe holds."""


class Stacks:
    """`ends`: the read and write ends of the pipe of an earlier program of this process.

    Raises OSError.
    """

    def __init__(self, loop: EventLoop, ends: tuple[int, int] | None = None) -> None:
        self._loop = loop
        self.ends = ends or os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._say: Callable[[str], object] | None = None
        self._begun = b""

    def tell(self, say: Callable[[str], object]) -> None:
        """From now on, call `say` with what is written."""
        self._say = say
        self._loop.on_readable(self.ends[0], lambda _: self.hear())

    def hear(self) -> None:
        """Pass on what has been written so far; anything written meanwhile waits for the next turn."""
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
