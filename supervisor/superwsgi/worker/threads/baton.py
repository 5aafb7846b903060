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

Where many threads want the GIL at once, each of them wakes every 5 ms to ask for it, 1,000 of them more often
than the CPU can serve. Then whoever comes back leaves what has been read, and the baton, to the one that was
called, which stands in line for the GIL behind all that have something to answer: so no more requests begin
than end, and the others wait where that costs nothing.
"""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue
from typing import Final

from superwsgi.http.request.head import Request
from superwsgi.worker.connection.states import Sending
from superwsgi.worker.threads.blocking import Blocking, computed
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

_SLEEPS: Final = 400_000
"""Whoever has computed for less than so many ns between two ticks, of LEASE or more, waits for something. It
is not that another process has its CPU: then it would have the GIL, which the monitor has now."""

SAMPLE: Final = 16
"""One request in this many is measured: two system calls, some 1 us and 10 ns for each thread there is."""


class Baton:
    """`take` it to poll; around the application's call, `before` and `after`. Times are monotonic ns."""

    def __init__(self) -> None:
        self.blocking = Blocking()
        self.lender: WorkerThread | None = None  # the last thread that kept it through a call
        self._lock = threading.Lock()
        self._free = True
        self._waiting: list[WorkerThread] = []  # a stack
        self._called: WorkerThread | None = None  # from the stack, and not there yet
        self._away: WorkerThread | None = None  # the last one that passed it on for a call
        self._calls = 0  # of the application, begun by a holder of the baton
        self._computed = 0  # how long the lender had computed at the tick after it had kept it
        self._watchful = _LATELY  # ticks left in which every call that keeps it is measured
        self._asleep = False
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._stopped = False

    def start(self) -> None:
        threading.Thread(target=self._monitor, name="baton", daemon=True).start()

    def stop(self) -> None:
        self._stopped = True
        self._bell.put(None)

    @property
    def one_comes(self) -> bool:
        """Whether a thread is on its way to it."""
        return self._called is not None

    def take(self, thread: WorkerThread, crowded: bool = False) -> bool:
        """Wait for the baton, where it is `crowded` behind one that has been called. False if the thread has
        been dismissed instead."""
        while not self._taken(thread, crowded):
            thread.bell.acquire()
            if thread.dismissed:
                return False
        thread.has_baton = True
        return True

    def give(self, thread: WorkerThread) -> None:
        thread.has_baton = False
        self._pass_on()

    def release_held(self) -> None:
        """Send the answer held by the previous holder of the baton, which is still in the application, and
        show what it has counted. For the holder."""
        lender = self.lender
        if lender is None:
            return
        lender.counts.show_for_it()
        connection = lender.connection
        if connection is not None and connection.sender.state is Sending.HELD:
            connection.sender.release()

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

    def _taken(self, thread: WorkerThread, crowded: bool) -> bool:
        with self._lock:
            if self._called is thread:
                self._called = None
            if self._free and not (crowded and self._called is not None):
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

    def before(self, thread: WorkerThread, request: Request | None = None) -> int:
        """The holder is about to call the application for a request. Returns `cpu` for `after`, 0 if the call
        is not measured."""
        self._calls += 1
        thread.expectation = expectation = self.blocking.of(request)
        if expectation.blocking:
            thread.has_baton = False
            self._pass_on_for_a_call(thread)
        else:
            self.lender = thread
            thread.lent = True
            thread.lease.append(None)
            self._wake_monitor()
        if self._calls % SAMPLE and (expectation.blocking or not self._watchful):
            return 0
        thread.waits = self.blocking.waits()
        return time.process_time_ns()

    def after(self, thread: WorkerThread, wall: int, cpu: int) -> None:
        """The application returned `wall` ns later; find out whether the baton is still here."""
        if thread.lent:
            thread.lent = False
            try:
                thread.lease.pop()
            except IndexError:
                thread.has_baton = False
                return  # the monitor has learned from it
        if cpu:
            self._learn(thread, wall - (time.process_time_ns() - cpu))

    def _learn(self, thread: WorkerThread, unexplained: int) -> None:
        blocked = self.blocking.seemed(unexplained, thread.waits)
        if blocked is not None:
            self.blocking.learn(thread.expectation, blocked)

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
                self._look_at_lender()
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
        self._learn_from_lender(thread)
        self._pass_on_for_a_call(thread)
        return True

    def _look_at_lender(self) -> None:
        thread = self.lender
        self._computed = computed(thread.native_id) if thread is not None and thread.lent else 0

    def _learn_from_lender(self, thread: WorkerThread) -> None:
        """It has been in one call for a tick at least. Learn from it now: it may be there for long, and
        others of its kind would cost a lease each until it comes back."""
        sleeps = computed(thread.native_id) - self._computed < _SLEEPS
        expectation, connection = thread.expectation, thread.connection
        exchange = None if connection is None else connection.exchange
        if sleeps and expectation is self.blocking.all and exchange is not None:
            self.blocking.tell_apart(exchange.request)
        self.blocking.learn(expectation, sleeps)

    def _sleep(self, seen: int) -> None:
        with self._lock:  # who counts a call, and then looks whether we sleep, passes a lock in between
            self._asleep = True
        if seen == self._calls:
            self._bell.get()
        self._asleep = False
