"""The baton: the right to poll, and the decision whether to keep it while the application runs.

One thread polls at a time. Before it calls the application it either keeps the baton (nobody polls meanwhile,
and nobody else competes for the GIL) or passes it on. Keeping is best if the application computes: with
several threads in it, each waits for the GIL for whole switch intervals (Flask hello, 8 threads, one core:
p99 57 ms with every thread polling, 2.8 ms this way). Passing is best if it waits, say for a database. A kept
baton is only lent: after LEASE in one call the monitor takes it back and passes it on.

Threads that wait for it are a stack: the last one to wait is the next to poll. So few threads do most of the
work, with warm caches and few connections to a database, and those at the bottom can end. A thread that comes
back from the application while the baton is free takes it, even if another has been called for it and is not
there yet: handing it over instead costs a thread switch for each request. And while the one that passed it on
last is about to come back, no other is called: a client that asks in turn would meet that one as well. Should
it not come after all, the monitor calls one at its next tick.
"""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue
from typing import Final

from superwsgi.worker.threads.thread import WorkerThread

LEASE: Final = 0.001
"""Seconds. Longer delays others behind a request that blocks; shorter makes threads compete for the GIL."""

RELAXED: Final = 0.004
"""The same if no lease had to be taken back lately: each tick of the monitor costs the threads some 50 us
(four thread switches, and caches), which at 1,000 a second is 8 % of a Flask application's CPU time."""

_LATELY: Final = 50
"""Ticks of close watching after a lease was taken back."""

_QUIET: Final = 0.02
"""Seconds without any lease after which the monitor sleeps until there is one."""

SAMPLE: Final = 16
"""One request in this many is measured: two system calls, some 1 us."""


class Expectation:
    """Whether the next request will block, judging by how long sampled ones did.

    Blocked time is time in which no thread of this process ran: wall time less the *process's* CPU time. With
    the thread's own, waiting for the GIL would count as blocking, so once several threads compute at the same
    time, the expectation would keep it that way. What counts is how many requests block at all, not for how
    long: one that was preempted for 10 ms, or one slow query in fifty, says nothing about the next.
    """

    BLOCKED: Final = 200_000
    """A request that blocks for this many ns or more counts: two thread switches and some margin."""
    WEIGHT: Final = 1 / 8
    PASS: Final = 0.25

    __slots__ = ("_share", "blocking")

    def __init__(self) -> None:
        self._share = 0.0  # of recent requests that blocked
        self.blocking = False

    def learn(self, wall: int, cpu: int) -> None:
        """A request took `wall` ns, during which this process computed for `cpu` ns."""
        blocked = 1.0 if wall - cpu > self.BLOCKED else 0.0
        self._share += (blocked - self._share) * self.WEIGHT
        self.blocking = self._share > self.PASS


class Baton:
    """`take` it to poll; around the application's call, `before` and `after`. Times are monotonic ns."""

    def __init__(self) -> None:
        self.expectation = Expectation()
        self.lender: WorkerThread | None = None  # the last thread that kept it through a call
        self._lock = threading.Lock()
        self._free = True
        self._waiting: list[WorkerThread] = []  # a stack
        self._called: WorkerThread | None = None  # from the stack, and not there yet
        self._away: WorkerThread | None = None  # the last one that passed it on for a call
        self._calls = 0  # of the application, begun by a holder of the baton
        self._watchful = _LATELY  # ticks left in which every call is measured
        self._asleep = False
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._stopped = False

    def start(self) -> None:
        threading.Thread(target=self._monitor, name="baton", daemon=True).start()

    def stop(self) -> None:
        self._stopped = True
        self._bell.put(None)

    def take(self, thread: WorkerThread) -> bool:
        """Wait for the baton. False if the thread has been dismissed instead."""
        while not self._taken(thread):
            thread.bell.acquire()
            if thread.dismissed:
                return False
        thread.has_baton = True
        return True

    def give(self, thread: WorkerThread) -> None:
        thread.has_baton = False
        self._pass_on()

    def dismiss(self, before: int) -> WorkerThread | None:
        """End the thread that has waited longest, if it has waited since `before`."""
        with self._lock:
            if not self._waiting or self._waiting[0].waiting_since > before:
                return None
            thread = self._waiting.pop(0)
        thread.dismissed = True
        thread.bell.release()
        return thread

    @property
    def waited_since(self) -> int:
        """Since when the thread has waited that has waited longest; 0 if there is none."""
        with self._lock:
            return self._waiting[0].waiting_since if self._waiting else 0

    def _taken(self, thread: WorkerThread) -> bool:
        with self._lock:
            if self._called is thread:
                self._called = None
            if self._free:
                self._free = False
                return True
            thread.waiting_since = time.monotonic_ns()
            thread.waiting = True
            self._waiting.append(thread)
            return False

    def _pass_on(self) -> None:
        with self._lock:
            self._free = True
            self._call()

    def _pass_on_for_a_call(self, thread: WorkerThread) -> None:
        """Of this thread, which is about to enter the application, or has been there for long."""
        before, self._away = self._away, thread
        with self._lock:
            self._free = True
            expected = before is not None and before is not thread and before.is_coming_back()
            if not expected:
                self._call()
        if expected:
            self._wake_monitor()

    def _call(self) -> None:
        """Wake the next thread, unless one is on its way."""
        if self._called is None and self._waiting:
            self._called = called = self._waiting.pop()
            called.waiting = False
            called.bell.release()

    def _call_if_free(self) -> None:
        """Nobody has taken it since the last tick: a thread that was expected back has not come."""
        if self._free:
            with self._lock:
                if self._free:
                    self._call()

    def before(self, thread: WorkerThread) -> int:
        """The holder is about to call the application. Returns `cpu` for `after`, 0 if it is not sampled."""
        self._calls += 1
        if self.expectation.blocking:
            thread.has_baton = False
            self._pass_on_for_a_call(thread)
        else:
            self.lender = thread
            thread.lent = True
            thread.lease.append(None)
            self._wake_monitor()
        return time.process_time_ns() if self._watchful or self._calls % SAMPLE == 0 else 0

    def after(self, thread: WorkerThread, wall: int, cpu: int) -> None:
        """The application returned `wall` ns later; find out whether the baton is still here."""
        if thread.lent:
            thread.lent = False
            try:
                thread.lease.pop()
            except IndexError:
                thread.has_baton = False
        if cpu:
            self.expectation.learn(wall, time.process_time_ns() - cpu)

    def _wake_monitor(self) -> None:
        if self._asleep:
            self._asleep = False
            self._bell.put(None)

    def _monitor(self) -> None:
        seen, quiet = 0, 0.0
        while not self._stopped:
            tick = LEASE if self._watchful else RELAXED
            time.sleep(tick)
            self._watchful = max(0, self._watchful - 1)
            self._call_if_free()
            if seen != self._calls:
                seen, quiet = self._calls, 0.0
            elif self._take_back():
                self._watchful = _LATELY
            else:
                quiet += tick
                if quiet > _QUIET:
                    self._sleep(seen)

    def _take_back(self) -> bool:
        """A lease that was already there at the last tick has lasted long enough: pass the baton on."""
        thread = self.lender
        if thread is None:
            return False
        try:
            thread.lease.pop()  # whichever pops first wins: us, or the thread back from the application
        except IndexError:
            return False
        self._pass_on_for_a_call(thread)
        return True

    def _sleep(self, seen: int) -> None:
        self._asleep = True
        if seen == self._calls:
            self._bell.get()
        self._asleep = False
