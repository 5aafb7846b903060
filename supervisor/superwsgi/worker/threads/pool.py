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
when they leave. And already from when it takes long for them to leave, until the queue is short: else a crowd
is inside, all of it late, before anybody is refused. Those in there that wait for something are not counted,
nor those that are through before this could be found out.

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

_PACE: Final = SECOND // 16
_LATELY: Final = SECOND // 4
"""The pace is known after so many ns with SEVERAL in the application, and is that of the last ones."""

_MANY: Final = 512
_CROWD: Final = 64
"""Of _MANY threads, more than _CROWD in the application are a crowd. To be one costs each request a thread
switch: on 300 threads pages that sleep 100 ms are answered sooner without it, on 1,000 sooner with it."""

STALLED: Final = SECOND // 2
"""While threads compute and requests wait, one more thread is started if no request has begun for so many ns,
the next one after twice as long, and so on: beside pages that compute one or two are enough for others to get
through, and each further one makes all of them slower."""

FEWEST: Final = 2
"""So many may compute at once while some are late; one more each time that STALLED is over."""

SEVERAL: Final = 4
_LONG: Final = 5
"""With SEVERAL in the application it takes long for those that compute to leave, up to the last FEWEST, if by
the pace at which requests leave it is that part of the time that requests may wait."""

_SHORT: Final = 4
"""The queue is short if its first has waited for that part of the time at most."""


class Pool:
    """The threads of a worker, each of which does `work`. Times are monotonic ns.

    `permits` has one item for each further request that may enter the application now. `size` is how many
    may run at once with the threads there are: permits and requests in the application. Only `few` may
    compute at once: FEWEST, or `most`. Requests may wait for `queue_age`.
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
        self._denied_until = 0  # by the system
        self.few = self.most
        self.queue_age = NEVER
        self._refusing = False
        self._late_until = 0  # some in the application would be
        self._late_look_at = 0
        self._left = 0  # requests that have left the application
        self._pace_since = self._pace_from = 0  # when so many had
        self._computing: set[tuple[int, int]] = set()  # at the last probe
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
        if not at_once and self.queue_age != NEVER:
            self._foresee()
        if self._inside >= self.few and not at_once and self._is_crowded():
            return False
        if self._take_permit():
            return True
        return self.size < self.most and self._may_grow(at_once) and self._grow()

    def limit(self, refusing: bool, since: int, now: int) -> None:
        """Have few compute at once while some are refused for being late, or would soon be. The first that
        waits does so `since`."""
        if now < self._late_until and now - since > self.queue_age // _SHORT:
            self._late_until = now + self.queue_age
        few = FEWEST if refusing or now < self._late_until else self.most
        if few != self.few or refusing is not self._refusing:
            self.few, self._refusing = few, refusing
            self._make_room(now)

    def give_back(self) -> None:
        """A request has left the application."""
        self._left += 1
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
        if self._stalled(now, self._more):
            self._more += 1
            self._room += 1
            return False
        self._try_again()
        return True

    def _foresee(self) -> None:
        """Find out whether it takes long for those that compute to leave."""
        inside = self._inside
        if inside < SEVERAL:
            self._pace_since = 0
            return
        now = time.monotonic_ns()
        if not self._pace_since:
            self._pace_since, self._pace_from = now, self._left
        took, left = now - self._pace_since, self._left - self._pace_from
        if took < _PACE or now < self._late_look_at:
            return
        self._late_look_at = now + _KNOWN
        if took > _LATELY:
            self._pace_since += took // 2
            self._pace_from += left // 2
        pace, long = took // max(1, left), self.queue_age // _LONG
        if (inside - FEWEST) * pace <= long:
            return
        if now >= self._known_until:
            now = self._probe()
        if self._futile and (len(self._computing) - FEWEST) * pace > long:
            self._late_until = now + self.queue_age
            self.few = FEWEST
            self._make_room(now)

    def _may_grow(self, at_once: bool) -> bool:
        """Whether one more thread may be started, and would do any good."""
        if at_once:
            return True
        now = time.monotonic_ns()
        if now >= self._known_until:
            now = self._probe()
        if not self._futile or (now >= self._denied_until and self._stalled(now, self.size - self._least)):
            return True
        self._try_again()
        return False

    def _try_again(self) -> None:
        """The poller does, when more may be known: it may be another thread, and asleep."""
        if self.look_at == NEVER:
            self._alarm.wake()
        self.look_at = self._known_until

    def _probe(self) -> int:
        """Find out whether threads compute, and how many; returns the time."""
        before = self._computed()
        self._futile = sleep_as_usual(PROBE) > _COMPUTING
        back = time.monotonic_ns()
        self._known_until = back + _KNOWN
        if self._futile:
            after = self._computed()
            self._computing = {each for each, spent in before.items() if after.get(each, spent) != spent}
            self._make_room(back)
        else:
            self.look_at = NEVER
            self._more = 0
            if back >= self._late_until:
                self.few = self.most  # while some are refused, `limit` says otherwise
        return back

    def _make_room(self, now: int) -> None:
        """For those that compute, by the last probe. Before anybody is refused, pages that take long whoever
        else is there must not keep others out."""
        enough = self.few + self._more
        computing = len(self._computing)
        if not self._refusing:
            computing = sum([began > now - STALLED for _, began in self._computing])
        self._room = max(enough, self._inside + enough - computing)

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
                self.look_at = self._known_until = self._denied_until = now + _PAUSE
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
