"""The pipes through which a generation's processes say what they cannot log themselves: stacks of its molds
(processes/stacks.py), and what reaches descriptors 1 and 2 (`log.capture`). The master reads them, as it
outlives any process that has something in them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from superwsgi.config.schema import Site
from superwsgi.log.error import ErrorLog
from superwsgi.log.streams import divided
from superwsgi.master.eventloop import EventLoop
from superwsgi.master.processes.stacks import Stacks
from superwsgi.system.privileges import identity

Ends = tuple[int, int]
"""Descriptors to read from and to write to."""

_TURN: Final = 8 << 10
"""Bytes read in a turn of the loop: at worst 4,000 lines, some 40 ms. Who writes more waits for the next."""

_MOST: Final = 64 << 10
"""Bytes read at a death: what a pipe holds (pipe(7)), and no more while others go on writing: at worst half
a second. What is left is read in later turns."""

_PATIENCE: Final = 1.0
"""Seconds for the end of a line."""


class Pipes:
    """Those of one generation. `captured` if its output is; the ends are those of an earlier program of this
    process. Raises OSError."""

    def __init__(
        self, loop: EventLoop, *, captured: bool, stacks: Ends | None = None, output: Ends | None = None
    ) -> None:
        self._loop = loop
        self.stacks = Stacks.pipe(1) if stacks is None else Stacks(*stacks)
        try:
            self.output = Output(loop, output) if captured else None
        except OSError:
            self.stacks.close()
            raise

    @classmethod
    def of(cls, site: Site, loop: EventLoop) -> Pipes:
        """Those of a new generation; its user may open /dev/stderr. Raises OSError, PrivilegeError."""
        who = identity(site.user, site.group)
        pipes = cls(loop, captured=site.log.capture)
        if pipes.output is not None and who is not None and os.geteuid() == 0:
            os.fchown(pipes.output.ends[1], who.uid, who.gid)
        return pipes

    def tell(self, errors: ErrorLog, generation: int) -> None:
        """From now on, log what is written to the output; for stacks see dumps.py."""
        if self.output is not None:
            self.output.tell(partial(errors.application, "pipe", gen=generation))

    def to_write(self) -> Iterator[int]:
        """The ends for a mold, as Boot wants them."""
        yield self.stacks.end
        if self.output is not None:
            yield self.output.ends[1]

    def hear(self) -> None:
        """A process has ended: all that it has written to the output."""
        if self.output is not None:
            self.output.hear_all()

    def close(self) -> None:
        self.hear()
        self._loop.forget(self.stacks.fd)
        self.stacks.close()
        if self.output is not None:
            self.output.close()


class Output:
    """What takes the place of descriptors 1 and 2. A write to it waits while it is full, as programs expect,
    and never for long: it is read in each turn, and what the log has no room for is dropped there.

    Raises OSError.
    """

    def __init__(self, loop: EventLoop, ends: Ends | None = None) -> None:
        self._loop = loop
        self.ends = ends or os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.ends[0], False)
        self._say: Callable[[bytes], object] = bool
        self._begun = b""
        self._waits = False  # for the end of a line
        loop.on_readable(self.ends[0], self._hear)

    def tell(self, say: Callable[[bytes], object]) -> None:
        """From now on, call `say` with whole lines."""
        self._say = say

    def _hear(self, now: float) -> None:
        data = self._read(_TURN)
        if data == b"":
            self._end()
            return
        whole, self._begun = divided(self._begun + (data or b""))
        if whole:
            self._say(whole)
        if self._begun and not self._waits:
            self._waits = True
            self._loop.call_at(now + _PATIENCE, self._end_line)

    def hear_all(self) -> None:
        """Pass on what its writer has left, unfinished lines too."""
        left = _MOST
        while left > 0 and (data := self._read(_TURN)):
            left -= len(data)
            whole, self._begun = divided(self._begun + data)
            self._say(whole)
        self._end_line(0)

    def close(self) -> None:
        """No process of ours has it any more. A program that the application has left behind may still: it is
        heard until it ends, or SIGPIPE would end it."""
        os.close(self.ends[1])

    def discard(self) -> None:
        """Nobody has ever had it."""
        self._loop.forget(self.ends[0])
        os.close(self.ends[0])
        os.close(self.ends[1])

    def _read(self, size: int) -> bytes | None:
        """None if there is nothing; nothing at all if nobody is left to write."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self.ends[0], size)
        return None

    def _end_line(self, _now: float) -> None:
        rest, self._begun, self._waits = self._begun, b"", False
        if rest:
            self._say(rest)

    def _end(self) -> None:
        self._end_line(0)
        self._loop.forget(self.ends[0])
        os.close(self.ends[0])
