"""How many threads a worker has: more while requests wait, fewer once they have idled, within `threads`.

A thread is started when a request waits and all others are in the application: one for each request that
waits, not some share of the total, which would take the CPU from those that work. None is started while those
in the application compute: it would only compete with them, and with who polls, for the GIL (60 clients of a
page that computes for 37 ms and 6 of a quick one: p50 of these 13 ms with 4 threads, 1.8 s with 32). Unless
no request has begun for STALLED: a few that compute for many seconds must not stop all others. One that has
waited `idle` seconds at the bottom of the baton's stack ends, and what the application keeps for each thread
ends with it.

Where there are more threads all the same, as they were needed before or are always there, all that come
enter the application, and those that compute are late in there, where no queue sees it. So while some are
refused for being late, only FEWEST compute at once: else those that were not late when they entered would be
when they leave. Those in there that wait for something are not counted, nor those that are through before
this could be found out.

There is one thread more than requests may run at once: it polls while they run. A permit is the right to
enter the application; whoever takes one runs one request.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Final

from superwsgi import unpatched
from superwsgi.board.scoreboard import WorkerWriter
from superwsgi.config.sections import Elastic
from superwsgi.log.rate_limit import Complaint
from superwsgi.worker.connection.alarm import NEVER, SECOND, Alarm
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.threads.baton import Baton
from superwsgi.worker.threads.blocking import computed
from superwsgi.worker.threads.switching import sleep_as_usual
from superwsgi.worker.threads.thread import WorkerThread

_REMEDY: Final = (
    "requests wait for one; allow more processes (ulimit -u, TasksMax, pids.max) or memory, or lower threads"
)

_PAUSE: Final = SECOND
"""How long no thread is started after the system has refused one."""

PROBE: Final = 0.0002
_COMPUTING: Final = 2 * SECOND // 1000
_KNOWN: Final = SECOND // 50
"""Whether threads compute shows when one that has released the GIL for PROBE seconds gets it back: at once if
all others wait, otherwise when another one has to give it up, after sys.getswitchinterval() (5 ms). More than
_COMPUTING ns is taken for that, and believed for _KNOWN ns."""

_MANY: Final = 512
_CROWD: Final = 64
"""Of _MANY threads, more than _CROWD in the application are a crowd. To be one costs each request a thread
switch: on 300 threads pages that sleep 100 ms are answered sooner without it, on 1,000 sooner with it."""

STALLED: Final = SECOND // 2
"""While threads compute and requests wait, one more thread is started if no request has begun for so many ns,
the next one after twice as long, and so on: beside pages that compute one or two are enough for others to get
through, and each further one makes all of them slower."""

FEWEST: Final = 2
"""So many may compute at once while some are refused; one more each time that STALLED is over."""


class Pool:
    """The threads of a worker, each of which does `work`. Times are monotonic ns.

    `permits` has one item for each further request that may enter the application now. `size` is how many
    may run at once with the threads there are: permits and requests in the application. Only `few` may
    compute at once: FEWEST, or `most`.
    """

    def __init__(
        self,
        bounds: Elastic,
        board: WorkerWriter,
        alarm: Alarm,
        refused: Complaint,
        work: Callable[[WorkerThread], None],
    ) -> None:
        self.permits: Final[list[None]] = []
        self.size = 0
        self._least = bounds.min
        self.most: Final = bounds.max
        self._idle = int(bounds.idle * SECOND)
        self.baton = Baton()
        self._board = board
        self._alarm = alarm
        self._refused = refused
        self._work = work
        self._threads: dict[int, WorkerThread] = {}
        self._lock = unpatched.shared_lock()
        self._numbers = list(range(bounds.max, -1, -1))  # free ones, the lowest last
        self.look_at = NEVER  # when one may be started that could not be
        self._futile = False  # one more would do no good, or the system gives none
        self._known_until = 0
        self.few = self.most
        self._more = 0
        self._room = 0  # how many may be in the application, while it is futile
        self._told = -1  # what siblings read about `free`
        self.hands_over = False  # whoever polls never enters the application
        self.replaced = "thread replaced"  # what the log says of `replace`

    def __iter__(self) -> Iterator[WorkerThread]:
        return iter(list(self._threads.values()))

    @property
    def free(self) -> int:
        """Further requests that could run now, with more threads if need be and if that would do any good."""
        if not self._futile:
            return len(self.permits) + self.most - self.size
        if self.few >= self.most:
            return len(self.permits)
        return max(0, min(len(self.permits), self._room - self._inside))

    @property
    def busy(self) -> bool:
        """Whether a request is in the application."""
        return len(self.permits) < self.size

    @property
    def crowded(self) -> bool:
        """Whether so many threads may want the GIL that the next request is left to the one on its way."""
        return self.size > _MANY and self._inside > _CROWD and self.baton.one_comes

    def start(self) -> None:
        """Start as many as there always are. Raises RuntimeError if the system gives no more threads."""
        self._start_one()  # to poll
        for _ in range(self._least):
            self._start_one()
            self._resize(1)
            self.permits.append(None)
        self.tell()

    def permit(self, at_once: bool = False) -> bool:
        """Take a permit; start a thread if there is none and may be one. `at_once`: the request cannot wait,
        so it may be one also while others compute."""
        if self._inside >= self.few and not at_once and self._is_crowded():
            return False
        if self._take_permit():
            return True
        return self.size < self.most and self._may_grow(at_once) and self._grow()

    def give_back(self) -> None:
        """A request has left the application."""
        self.permits.append(None)
        if not self._told:
            self.tell()

    def tell(self) -> None:
        """Tell siblings how many are free. The poller does so in each turn, others only if there was none: a
        number that is a little out of date does no harm."""
        if self.free != self._told:
            with self._lock:  # else an older number could be the last one
                self._told = free = self.free
                self._board.set("free", free)

    def hand(self, connection: Connection) -> None:
        """Have another thread run the request in it, for which there is a permit. Only if `hands_over`."""
        raise NotImplementedError

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Two sockets that are connected: one of ours, and one for which an application may wait. Raises
        OSError."""
        return socket.socketpair()

    def replace(self, lost: WorkerThread) -> None:
        """Start a thread for one that was written off, with its number and its record."""
        self._remove(lost)
        if self._grow():
            self.permits.append(None)

    def shrink(self, now: int) -> int:
        """End threads that have idled for long; returns when to look again."""
        while self.size > self._least:
            try:
                self.permits.pop()
            except IndexError:
                return now + self._idle
            thread = self.baton.dismiss(now - self._idle)
            if thread is None:
                self.permits.append(None)
                return (self.baton.waited_since or now) + self._idle
            self._remove(thread)
        return NEVER

    def _take_permit(self) -> bool:
        if not self.permits:  # an error takes longer, and while requests wait there is none each time
            return False
        try:
            self.permits.pop()
        except IndexError:  # another thread has just had it
            return False
        return True

    @property
    def _inside(self) -> int:
        """Requests in the application."""
        return self.size - len(self.permits)

    def _is_crowded(self) -> bool:
        """Whether so many compute in there that one more would only make them slower."""
        if not self.permits and self.size >= self.most:
            self.look_at = NEVER  # one that comes back does that
            return True
        now = time.monotonic_ns()
        if now >= self._known_until:
            now = self._probe()
        if not self._futile or self._inside < self._room:
            return False
        if not self._stalled(now, self._more):
            return True
        self._more += 1
        self._room += 1
        return False

    def _may_grow(self, at_once: bool) -> bool:
        """Whether one more thread may be started, and would do any good."""
        if at_once:
            return True
        now = time.monotonic_ns()
        if now < self._known_until:
            return not self._futile
        back = self._probe()
        return not self._futile or self._stalled(back, self.size - self._least)

    def _probe(self) -> int:
        """Find out whether threads compute, and how many; returns the time."""
        before = self._computed()
        self._futile = sleep_as_usual(PROBE) > _COMPUTING
        back = time.monotonic_ns()
        self._known_until = back + _KNOWN
        self.look_at = self._known_until if self._futile else NEVER
        if self._futile:
            after = self._computed()
            computing = sum([after.get(each, spent) != spent for each, spent in before.items()])
            enough = self.few + self._more
            self._room = max(enough, self._inside + enough - computing)
        else:
            self._more = 0
        return back

    def _computed(self) -> dict[tuple[int, int], int]:
        """How long threads have, by which and since when its request is in the application: whoever waits for
        the GIL wakes up for it again and again, and whoever waits for anything else does not."""
        return {
            (thread.number, thread.record.began): computed(thread.native_id)
            for thread in self
            if thread.connection is not None
        }

    def _stalled(self, now: int, more: int) -> bool:
        """Whether no request has begun for long, or longer where there are so many `more` than usual."""
        before = now - STALLED * (more + 1)
        return all(thread.record.began < before for thread in self)

    def _grow(self) -> bool:
        """One thread more, and the right to enter the application, which is the caller's."""
        now = time.monotonic_ns()
        with self._lock:
            if self.size >= self.most:
                return False
            try:
                self._start_one()
            except RuntimeError as error:
                self._futile = True
                self.look_at = self._known_until = now + _PAUSE
                self._refused.make(now, threads=self.size, reason=str(error), next=_REMEDY)
                return False
            self._resize(1)
        if self.size > self._least:
            self._alarm.no_later_than(now + self._idle)
        return True

    def _start_one(self) -> None:
        number = self._numbers[-1]
        thread = self._make(number)
        thread.start()
        self._numbers.pop()
        self._threads[number] = thread

    def _make(self, number: int) -> WorkerThread:
        return WorkerThread(number, self._board.thread(number), self._work)

    def _remove(self, thread: WorkerThread) -> None:
        with self._lock:
            del self._threads[thread.number]
            self._numbers.append(thread.number)
            self._resize(-1)

    def _resize(self, change: int) -> None:
        self.size += change
        if self.size == self.most:
            self.look_at = NEVER
        self._board.set("threads", self.size)
