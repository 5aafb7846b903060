"""Signals as something to read: a process that takes them finds their numbers at a descriptor, among the
others that it waits for. For the master and for workers.

Nothing is ever set to SIG_IGN: programs that are executed would inherit that, but do not inherit handlers
(execve(2)). A forked child restores what it has inherited by `give_back`.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Final

from superwsgi import unpatched

Handler = Callable[[int, FrameType | None], object] | int | None
"""As signal.signal(2) takes and returns it; None for one that was not set by Python."""

_TERMINAL: Final = (signal.SIGTTIN, signal.SIGTTOU)

_before_us: dict[int, Handler] = {}
"""The handlers from before this process took the signals, for its forked children."""

_AT_ONCE = 4096
"""Numbers read at a time; the descriptor stays readable while there are more."""


class Signals:
    """`fileno` is readable when a signal has arrived, or `wake` was called. In the main thread."""

    def __init__(self) -> None:
        self._woken, self._wake = unpatched.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        self._handlers_before: dict[int, Handler] = {}
        self._fd_before = -1

    def fileno(self) -> int:
        return self._woken.fileno()

    def descriptors(self) -> list[int]:
        return [self._woken.fileno(), self._wake.fileno()]

    def begin(self) -> None:
        """Call it before `take`, so that no signal is taken and lost."""
        self._fd_before = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)

    def take(self, numbers: Iterable[int]) -> None:
        """Report these signals here instead of acting on them, even if the parent of this process, or the
        application, has blocked them."""
        for number in numbers:
            self._handlers_before[number] = _take(number, _noted)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])

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
            signal.signal(number, handler)
            _before_us.pop(number, None)
        self._woken.close()
        self._wake.close()

    def close_in_child(self) -> None:
        """In a forked child: what it wrote here would reach its parent."""
        fd = signal.set_wakeup_fd(-1)
        if fd != self._wake.fileno():
            signal.set_wakeup_fd(fd)  # the application's
        self._woken.close()
        self._wake.close()


def ignore(numbers: Iterable[int]) -> None:
    """Make these signals do nothing in this process."""
    for number in numbers:
        _take(number, _ignored)


def give_back() -> None:
    """In a forked child: restore the handlers from before `take`, except where the application has set its
    own since."""
    for number, handler in _before_us.items():
        if signal.getsignal(number) in (_noted, _ignored):
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    _before_us.clear()


def _take(number: int, handler: Handler) -> Handler:
    before: Handler = signal.signal(number, handler)
    signal.siginterrupt(number, number in _TERMINAL)  # no library's system call fails for the others
    if before not in (_noted, _ignored):
        _before_us[number] = before
    return before


def _noted(_number: int, _frame: FrameType | None) -> None:
    """The descriptor reports the signal; this only keeps the default action from being taken."""


def _ignored(number: int, _frame: FrameType | None) -> None:
    """For a process in the background that reads from its terminal the kernel makes one of these after the
    other, for ever, until it ignores them: then reading is an error."""
    if number in _TERMINAL and any(map(os.isatty, (0, 1, 2))):
        signal.signal(number, signal.SIG_IGN)
