"""The master's one event loop: descriptors, signals and timers, in one thread. It waits only for the next of
these, reads the clock once per turn, and survives exceptions from callbacks.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import selectors
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, TypeVar

from superwsgi.system.signals import Signals

Callback = Callable[[float], object]
"""Called with the time of the turn, in monotonic seconds."""

PAUSE: Final = 1.0
"""Seconds for which a descriptor is not watched after its callback raised: it may stay ready forever."""

Value = TypeVar("Value")
Otherwise = TypeVar("Otherwise")


class EventLoop:
    """Use as a context manager: signal handlers and the wake-up descriptor are restored at the end.

    `on_error` is called with exceptions from callbacks, and the time.
    """

    def __init__(self, on_error: Callable[[Exception, float], None]) -> None:
        self._on_error = on_error
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callback]] = []
        self._order = itertools.count()
        self._paused: dict[int, selectors.SelectorKey] = {}  # by descriptor
        self._callbacks: dict[int, tuple[Callable[[int, float], object], bool]] = {}
        self._signals = Signals()
        self._selector.register(self._signals.fileno(), selectors.EVENT_READ, self._on_signals)

    def __enter__(self) -> EventLoop:
        self._signals.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self._signals.close()
        self._selector.close()

    def close_in_child(self) -> None:
        """In a forked child."""
        self._signals.close_in_child()
        self._selector.close()

    def descriptors(self) -> list[int]:
        """What the loop holds or watches, for a forked child to close."""
        watched = {key.fd for key in self._selector.get_map().values()}
        return [*watched.union(self._signals.descriptors())]

    def on_signal(
        self, numbers: Iterable[int], callback: Callable[[int, float], object], *, each: bool = False
    ) -> None:
        """Call back once per turn, however often a signal came since the last one, or `each` time it came."""
        for number in numbers:
            self._callbacks[number] = callback, each
            self._signals.take([number])

    def on_readable(self, fd: int, callback: Callback) -> None:
        """From now on, call back when there is something to read, or the other end is gone."""
        self._watch(fd, selectors.EVENT_READ, callback)

    def on_writable(self, fd: int, callback: Callback) -> None:
        """Call back when writing is possible instead, until `on_readable` is called again."""
        self._watch(fd, selectors.EVENT_WRITE, callback)

    def _watch(self, fd: int, events: int, callback: Callback) -> None:
        self._paused.pop(fd, None)
        if fd in self._selector.get_map():
            self._selector.modify(fd, events, callback)
        else:
            self._selector.register(fd, events, callback)

    def forget(self, fd: int) -> None:
        self._paused.pop(fd, None)
        with contextlib.suppress(KeyError):
            self._selector.unregister(fd)

    def call_at(self, when: float, callback: Callback) -> None:
        heapq.heappush(self._timers, (when, next(self._order), callback))

    def turn(self, ask_at: float | None) -> float:
        """Wait for the next event, timer or `ask_at`, run what is due, and return the time of the turn."""
        times = [when for when in (ask_at, self._timers[0][0] if self._timers else None) if when is not None]
        timeout = max(0.0, min(times) - time.monotonic()) if times else None
        ready = self._selector.select(timeout)
        now = time.monotonic()
        for key, _ in ready:
            if self._is_watched(key):  # an earlier callback may have unregistered it
                self._read(key, now)
        while self._timers and self._timers[0][0] <= now:
            self.guard(heapq.heappop(self._timers)[2], now, None)
        return now

    def guard(
        self, callback: Callable[[float], Value], now: float, otherwise: Otherwise
    ) -> Value | Otherwise:
        """The result of the call, or `otherwise` if it raises: that is reported, and ends nothing."""
        try:
            return callback(now)
        except Exception as error:
            self._on_error(error, now)
            return otherwise

    def _is_watched(self, key: selectors.SelectorKey) -> bool:
        return self._selector.get_map().get(key.fd) is key

    def _read(self, key: selectors.SelectorKey, now: float) -> None:
        try:
            key.data(now)
        except Exception as error:
            self._on_error(error, now)
            if self._is_watched(key):
                self._selector.unregister(key.fd)
                self._paused[key.fd] = key
                self.call_at(now + PAUSE, lambda _: self._resume(key))

    def _resume(self, key: selectors.SelectorKey) -> None:
        if self._paused.get(key.fd) is key:  # else it was unregistered, or is watched for something else
            self._watch(key.fd, key.events, key.data)

    def _on_signals(self, now: float) -> None:
        for number, times in sorted(Counter(self._signals.read()).items()):
            if number in self._callbacks:
                callback, each = self._callbacks[number]
                for _ in range(times if each else 1):
                    self.guard(partial(callback, number), now, None)
