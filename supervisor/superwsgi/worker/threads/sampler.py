"""Samples the stacks of threads that are in requests, for `superwsgi profile`, in a thread of its own that
there is only meanwhile. What it finds goes into a pipe of the master's.

Samples are due at fixed times, and each stands for the time since the last one. A thread inside the
interpreter gets to see others only where one gives up the GIL: if something in C holds that, the sample comes
late, and the time goes to the call that held it, and to where all others waited. It costs a fixed share of a
CPU at most: with many threads and deep stacks, some samples are left out.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Final
from urllib.parse import unquote

import msgspec

from superwsgi import build, unpatched
from superwsgi.http.request.path_groups import path_group, path_of
from superwsgi.http.response.exchange import Exchange
from superwsgi.log.frames import At
from superwsgi.messages import SampleThreads
from superwsgi.samples import OTHER, Sampled
from superwsgi.worker.threads import switching
from superwsgi.worker.threads.tally import Place, Tally
from superwsgi.worker.threads.thread import WorkerThread

COST: Final = 0.025
"""The share of a CPU that it may take at up to 100 samples a second, and as much more at more of them."""

LATELY: Final = 0.001
"""Seconds: by what a thread has computed in these, before a sample, it is known whether it runs."""

_WITHOUT_GIL: Final = "free-threaded: frames of running threads cannot be read (PYTHON_GIL=1 allows it)"

_TICK: Final = 0.2
"""Seconds after which it looks at the latest whether it is to end."""


def cpu_time(native: int) -> int:
    """Nanoseconds that a thread of this process has computed, by its native id; 0 if that is not known.

    pthread_getcpuclockid(3) makes this clock from the native id, but crashes for a thread that has just
    ended; the kernel says so instead (its posix-timers.h).
    """
    try:
        return time.clock_gettime_ns(~native << 3 | 6)
    except OSError:
        return 0


def is_below(path: str, prefix: str | None) -> bool:
    """Whether the path is the prefix, or below it: `/report/7` is below `/report`, `/reports` is not. Either
    may be percent-encoded."""
    return prefix is None or f"{unquote(path).rstrip('/')}/".startswith(f"{unquote(prefix).rstrip('/')}/")


class _DueTimes:
    """When the next sample is due, and how late they were; times in monotonic seconds."""

    def __init__(self, began: float, rate: float) -> None:
        self._began = self._due = began
        self._period = 1 / rate
        self._cost = COST * max(1.0, rate / 100)
        self.taken = 0
        self.late = self.latest = 0.0

    def next(self, now: float, spent: float) -> float:
        """The first one to come that can be afforded, as sampling has taken `spent` CPU seconds so far."""
        earliest = max(now, self._began + spent / self._cost)
        self._due += self._period * max(1, math.ceil((earliest - self._due) / self._period))
        return self._due

    def took(self, late: float) -> None:
        self.taken += 1
        self.late += late
        self.latest = max(self.latest, late)


class _Sighting:
    """What is known of a thread since its last sample: of its request, and where it was, `at` a frame and a
    CPU time. One that has not computed since is still there, so that its stack need not be walked again."""

    __slots__ = ("at", "group", "place", "request", "wanted")

    def __init__(self) -> None:
        self.at = self.request = (0, 0)
        self.group = OTHER
        self.place: Place = ()
        self.wanted = False


class Sampler:
    """One profile of the threads that are `serving`; `fd`, of the pipe, is its own."""

    def __init__(self, order: SampleThreads, fd: int, serving: Iterable[WorkerThread]) -> None:
        self._order = order
        self._fd = fd
        self._serving = serving
        self._tally = Tally()
        self._seen: dict[int, _Sighting] = {}  # by thread
        self._cut = ""
        self._looked = 0.0  # when it has looked last whether it is left
        self._ended = False
        self._python = unpatched.thread(self._live, "superwsgi-profile")

    def start(self, last: Sampler | None) -> None:
        """Begin once the `last` one has ended. Raises RuntimeError if the system gives no more threads."""
        if last is not None:
            last.end("another profile was begun", patience=1.0)
        self._python.start()

    def end(self, why: str, patience: float) -> None:
        """End sooner, and tell what there is; wait for that, at most so many seconds."""
        self._cut = why
        if self._python.is_alive():
            self._python.join(patience)

    def close_in_child(self) -> None:
        """In a child that the application forked."""
        if not self._ended:
            self._ended = True
            unpatched.close(self._fd)
            switching.make_usual_in_child()

    def _live(self) -> None:
        if not build.has_gil():
            self._cut = _WITHOUT_GIL
        switching.make_soon()
        try:
            sampled = self._sample()
            if not self._is_left():
                with contextlib.suppress(OSError), open(self._fd, "wb", closefd=False) as pipe:
                    pipe.write(msgspec.json.encode(sampled) + b"\n")
        finally:
            switching.make_usual()
            if not self._ended:
                self._ended = True
                unpatched.close(self._fd)

    def _sample(self) -> Sampled:
        order = self._order
        began = last = time.monotonic()
        clock = _DueTimes(began, order.rate)
        while last - began < order.seconds:
            due = min(clock.next(last, time.thread_time()), began + order.seconds)
            if not self._sleep_until(due):
                break
            last = self._look(due, last, clock)
        groups, frames, stacks = self._tally.told(order.room)
        seconds, late = last - began, clock.late / max(1, clock.taken)
        return Sampled(
            groups, frames, stacks, seconds, max(clock.taken, round(seconds * order.rate)), clock.taken, late,
            clock.latest, time.thread_time(), self._cut
        )  # fmt: skip

    def _look(self, due: float, last: float, clock: _DueTimes) -> float:
        """Take the sample that is due; returns when that was."""
        running = self._running() if self._order.cpu else None
        now = time.monotonic()
        clock.took(max(0.0, now - due))
        frames = sys._current_frames()
        for thread, exchange in self._in_requests():
            share = 1.0 if running is None else running.get(thread.native_id, 0.0) * thread.runs
            if share > 0:
                seen = self._seen.setdefault(thread.ident, _Sighting())
                if self._is_wanted(seen, exchange):
                    self._place(seen, thread, thread.at(frames))
                    self._tally.add(seen.group, seen.place, share * (now - last))
        return now

    def _place(self, seen: _Sighting, thread: WorkerThread, there: At | None) -> None:
        """Note where it is."""
        frame = there if isinstance(there, FrameType) else None
        at = id(frame), cpu_time(thread.native_id)
        if seen.at != at or not at[1]:
            seen.at, seen.place = at, self._tally.place_of(frame)

    def _running(self) -> dict[int, float]:
        """Which share of a CPU each thread takes, by its native id: what it has computed within LATELY."""
        before, began = self._clocks(), time.monotonic_ns()
        unpatched.sleep(min(LATELY, 0.5 / self._order.rate))
        after, passed = self._clocks(), time.monotonic_ns() - began
        return {
            native: min(1.0, (after[native] - before[native]) / passed)
            for native in before
            if native in after
        }

    def _clocks(self) -> dict[int, int]:
        return {thread.native_id: cpu_time(thread.native_id) for thread, _ in self._in_requests()}

    def _is_wanted(self, seen: _Sighting, exchange: Exchange) -> bool:
        """Whether its request is to be sampled; notes its group."""
        request = id(exchange), exchange.began
        if seen.request != request:
            seen.request, seen.at = request, (0, 0)
            path = path_of(exchange.request.target)
            seen.wanted = is_below(path, self._order.path)
            if seen.wanted:
                seen.group = self._tally.group(f"{exchange.request.method} {path_group(path)}")
        return seen.wanted

    def _in_requests(self) -> Iterator[tuple[WorkerThread, Exchange]]:
        for thread in self._serving:
            connection = thread.connection
            exchange = connection.exchange if connection is not None else None
            if exchange is not None:
                yield thread, exchange

    def _sleep_until(self, due: float) -> bool:
        """False if it is to end before."""
        while (now := time.monotonic()) < due:
            if now >= self._looked + _TICK:
                self._looked = now
                if self._is_left():
                    return False
            unpatched.sleep(min(due - now, _TICK))
            if self._cut:
                return False
        return not self._cut

    def _is_left(self) -> bool:
        """Whether nobody waits for the result any more: the other end of the pipe is closed."""
        poll = unpatched.poll()
        poll.register(self._fd, 0)
        return bool(poll.poll(0))
