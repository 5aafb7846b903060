"""The master's one event loop: descriptors, signals and timers, in one thread. It never waits for anything
but the next of these, and it reads the clock once a turn.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterable
from types import FrameType

Callback = Callable[[float], None]
"""Called with the turn's time, in monotonic seconds."""


class EventLoop:
    """Use as a context manager: signal handlers and the wake-up descriptor are put back at the end."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callback]] = []
        self._order = itertools.count()
        self._signals: dict[int, Callback] = {}
        self._handlers_before: dict[int, object] = {}
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._on_wake)

    def __enter__(self) -> EventLoop:
        self._wake_fd_before = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wake_fd_before)
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._selector.close()
        self._woken.close()
        self._wake.close()

    def descriptors(self) -> list[int]:
        """What the loop holds or watches: for a forked child to close."""
        return [*(key.fd for key in self._selector.get_map().values()), self._wake.fileno()]

    def on_signal(self, numbers: Iterable[int], callback: Callable[[int, float], None]) -> None:
        for number in numbers:
            self._signals[number] = lambda now, number=number: callback(number, now)  # type: ignore[misc]
            self._handlers_before[number] = signal.signal(number, _noted)

    def on_readable(self, fd: int, callback: Callback) -> None:
        self._selector.register(fd, selectors.EVENT_READ, callback)

    def forget(self, fd: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(fd)

    def call_at(self, when: float, callback: Callback) -> None:
        heapq.heappush(self._timers, (when, next(self._order), callback))

    def turn(self, ask_at: float | None) -> float:
        """Wait for the next event, timer or `ask_at`, run what is due, and return the turn's time."""
        times = [when for when in (ask_at, self._timers[0][0] if self._timers else None) if when is not None]
        timeout = max(0.0, min(times) - time.monotonic()) if times else None
        ready = self._selector.select(timeout)
        now = time.monotonic()
        for key, _ in ready:
            if self._selector.get_map().get(key.fd) is key:  # an earlier callback may have forgotten it
                key.data(now)
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2](now)
        return now

    def _on_wake(self, now: float) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in sorted(set(self._woken.recv(4096))):
                if number in self._signals:
                    self._signals[number](now)


def _noted(_number: int, _frame: FrameType | None) -> None:
    """The wake-up descriptor carries the signal; without a handler the default action would be taken."""
