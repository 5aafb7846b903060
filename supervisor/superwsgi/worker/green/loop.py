"""The loop of a worker with `green`: gevent's hub, and around it one greenlet that polls and many that run
the application.

The hub watches the descriptor of the epoll that the connections are in. The poller takes the turns that a
thread with the baton takes (worker/serve/loop.py), but hands each request to another greenlet; so nothing
that an application does makes it wait. The hub itself runs nothing of ours but callbacks that switch: an
object's finalizer may run anywhere, and may wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gevent import get_hub
from gevent.event import Event
from greenlet import greenlet

from superwsgi import unpatched
from superwsgi.board.scoreboard import WorkerWriter
from superwsgi.config.sections import Elastic
from superwsgi.log.frames import At
from superwsgi.log.rate_limit import Complaint
from superwsgi.messages import ThreadsAt
from superwsgi.worker import forks
from superwsgi.worker.green import standing
from superwsgi.worker.green.ended import RequestEnded
from superwsgi.worker.green.forked import leave_others_behind
from superwsgi.worker.green.garbage import Collector
from superwsgi.worker.green.pool import GreenPool, WorkerGreenlet
from superwsgi.worker.green.watchdog import Watchdog
from superwsgi.worker.serve.connections import Step
from superwsgi.worker.serve.loop import BATCH, CLOSING, Loop
from superwsgi.worker.threads.pool import Pool
from superwsgi.worker.threads.stacks import Standing, threads_at
from superwsgi.worker.threads.thread import WorkerThread

_READ = 1
"""Of gevent's io watchers."""


class GreenLoop(Loop):
    """Runs in the thread in which it is made, while that is in `obey` or waits for something else."""

    _greenlets: GreenPool
    _hub: Any
    _poller: WorkerGreenlet
    _watcher: Any
    _watching: bool  # whether the hub looks at the epoll
    _resting: bool  # whether the poller waits for events
    _collector: Collector
    _closed: Any
    _news: Any

    def _make_pool(self, bounds: Elastic, board: WorkerWriter, refused: Complaint) -> Pool:
        self._greenlets = pool = GreenPool(bounds, board, self._alarm, refused, self._work)
        self._hub = hub = get_hub()
        hub.SYSTEM_ERROR = ()  # an application's sys.exit() in a greenlet of its own is no order to us
        self._poller = pool.begin(hub, self._lead)
        self._watcher = hub.loop.io(self._epoll.fileno(), _READ)
        self._watching = self._resting = False
        self._collector = Collector(hub)
        self._context.gateway.ended_by = (RequestEnded,)
        self._watchdog = Watchdog(self._context.errors, self._hub, lambda: self.serving)
        self._closed = Event()
        return pool

    def prepare(self) -> None:
        self._pool.start()

    def start(self) -> None:
        super().start()
        self._poller.go_on()
        self._watchdog.start()

    def threads_at(self, question: int) -> Iterator[ThreadsAt]:
        serving, lost = list(self.serving), self._service.lost.threads
        known = {id(self._hub), *(each.ident for each in [self._poller, *serving, *lost])}

        def others(of_threads: Mapping[int, At]) -> Iterator[Standing]:
            return standing.of_the_application(known, of_threads.get(self._hub.thread_ident))

        return threads_at(question, serving, lost, others)

    def obey(self, work: Callable[[], None]) -> None:
        """Do `work` in a thread of its own, and let greenlets run until it is done. Raises what that does."""
        done, raised = Event(), list[BaseException]()

        def live() -> None:
            try:
                work()
            except BaseException as error:
                raised.append(error)
            finally:
                end.send()

        end = self._hub.loop.async_()
        end.start(done.set)
        unpatched.NativeThread(live, "superwsgi-orders").start()
        done.wait()
        end.stop()
        if raised:
            raise raised[0]

    def _wait_closed(self) -> None:
        self._closed.wait(CLOSING)

    def watch(self, fd: int, work: Callable[[], None]) -> bool:
        self._news = self._hub.loop.io(fd, _READ)
        self._news.start(lambda: greenlet(work, self._hub).switch())
        return True

    # The greenlets.

    def _work(self, thread: WorkerThread) -> None:
        """A greenlet's life: serve what is handed over."""
        assert isinstance(thread, WorkerGreenlet)
        thread.record.run_by(threading.get_ident())
        thread.record.end()
        while thread.given is not None and not (self._stopped or thread.written_off):
            try:
                self._service.attend(thread.given, thread, Step.QUEUE)
            except Exception as error:
                self._go_on_after(error, thread)
            if thread.written_off or self._forked:
                break
            if self._connections.queue.size:
                self._wake()
            self._greenlets.rest(thread, time.monotonic_ns())
        if self._forked:
            forks.came_back()

    def _lead(self, thread: WorkerThread) -> None:
        """The poller's life."""
        while not self._stopped:
            try:
                self._turn(thread)
            except Exception as error:
                self._go_on_after(error, thread)
        if self._forked:
            forks.came_back()
        thread.counts.show_all()
        self._watcher.stop()
        self._watchdog.end()
        self._close_all()
        self._closed.set()

    def _close_in_child(self) -> None:
        for watcher in (self._watcher, self._news):
            watcher.stop()  # while there is what it looks at
        super()._close_in_child()
        self._collector.end()
        leave_others_behind(self._hub)

    # The poll.

    def _await_events(self, timeout: float) -> list[tuple[int, int]]:
        self._collector.look()
        if timeout > 0:
            self._rest(timeout)
        else:
            self._poller.go_on()
            self._hub.switch()
        return self._events(0.0, BATCH)

    def _rest(self, seconds: float) -> None:
        """Wait for events, for so many seconds at most."""
        timer = self._hub.loop.timer(seconds)
        timer.start(self._resume)
        if not self._watching:
            self._watching = True
            self._watcher.start(self._on_events)
        self._resting = True
        self._hub.switch()
        timer.stop()
        timer.close()

    def _on_events(self) -> None:
        """Called by the hub, again and again while there are events."""
        if self._resting:
            self._resume()
        else:  # the poller waits for something else
            self._watching = False
            self._watcher.stop()

    def _resume(self) -> None:
        if self._resting:
            self._resting = False
            self._poller.switch()

    def _wake(self) -> None:
        """There is something to do for the poller."""
        if self._resting:
            self._resting = False
            self._poller.go_on()
