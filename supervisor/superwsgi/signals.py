"""Signals as something to read: the process that takes them finds their numbers at a descriptor, beside what
else it waits for, in the master as in a worker.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterable
from types import FrameType

_AT_ONCE = 4096
"""Numbers read in one go; the descriptor stays readable while there are more."""


class Signals:
    """`fileno` is readable when a signal has arrived, or `wake` was called. In the main thread."""

    def __init__(self) -> None:
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        self._handlers_before: dict[int, object] = {}
        self._fd_before = -1

    def fileno(self) -> int:
        return self._woken.fileno()

    def descriptors(self) -> list[int]:
        return [self._woken.fileno(), self._wake.fileno()]

    def begin(self) -> None:
        """Before `take`, so that no signal is taken and not told of."""
        self._fd_before = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)

    def take(self, numbers: Iterable[int]) -> None:
        """Have these signals told here instead of acted on."""
        for number in numbers:
            self._handlers_before[number] = signal.signal(number, _noted)

    def read(self) -> bytes:
        """What has arrived: a signal's number as often as it came (the kernel may fold those that come before
        it could deliver the first, signal(7)), and a zero for each `wake`."""
        with contextlib.suppress(BlockingIOError):
            return self._woken.recv(_AT_ONCE)
        return b""

    def wake(self) -> None:
        """From any thread."""
        with contextlib.suppress(BlockingIOError):  # full: it is readable then
            self._wake.send(b"\0")

    def close(self) -> None:
        """Put handlers and wake-up descriptor back."""
        signal.set_wakeup_fd(self._fd_before)
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._woken.close()
        self._wake.close()


def _noted(_number: int, _frame: FrameType | None) -> None:
    """The descriptor carries the signal; without a handler the default action would be taken."""
