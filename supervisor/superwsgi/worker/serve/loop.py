"""The threaded loop of a worker: equal threads around one epoll.

The thread that holds the baton polls, hands out what is ready, and works like the others. See baton.py for
when it is passed on, acceptor.py for listeners, admission.py for accepted connections, service.py for the
work on a connection, deadlines.py for deadlines.
This file has the threads, the poll, and the end: drain and stop.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from superwsgi import unpatched
from superwsgi.board.scoreboard import BEAT, IDLE_BEAT, WorkerWriter
from superwsgi.config.schema import Site
from superwsgi.config.sections import Elastic
from superwsgi.http.response.exchange import App
from superwsgi.log.access import AccessLog
from superwsgi.log.error import ErrorLog
from superwsgi.log.rate_limit import Complaint
from superwsgi.messages import Recycle, ThreadsAt
from superwsgi.worker import forks
from superwsgi.worker.connection.alarm import NEVER, SECOND
from superwsgi.worker.connection.connection import watch_over
from superwsgi.worker.connection.crowding import Addresses
from superwsgi.worker.connection.states import State
from superwsgi.worker.connection.storage import Blocks, Bulk
from superwsgi.worker.memory.watch import MemoryWatch
from superwsgi.worker.queue.queue import RequestQueue
from superwsgi.worker.serve.acceptor import Accepted, Acceptor, Broken, Listeners
from superwsgi.worker.serve.admission import Admission
from superwsgi.worker.serve.connections import Connections, Step
from superwsgi.worker.serve.context import context_of
from superwsgi.worker.serve.ending import Ending
from superwsgi.worker.serve.health import Going
from superwsgi.worker.serve.noticing import Noticing
from superwsgi.worker.serve.overdue.deadlines import Deadlines
from superwsgi.worker.serve.service import Service
from superwsgi.worker.serve.upgraded.takeovers import Serving, Takeovers
from superwsgi.worker.threads.pool import Pool
from superwsgi.worker.threads.stacks import threads_at
from superwsgi.worker.threads.thread import WorkerThread

BATCH: Final = 64
"""Connections that are read at a time."""

EVENTS: Final = 4096
"""Events taken from the kernel at a time where there are more than BATCH: how long a request waits shows only
once it is known to have come."""

CLOSING: Final = 0.5
"""Seconds that `stop` waits at most until connections have been closed."""

FRESH: Final = SECOND // 100
"""While requests are shed, whoever comes is seen after so many ns, and knows at once."""
HELD: Final = SECOND // 1000
"""How long an answer may wait to be sent with others, in ns."""
UNSEEN: Final = SECOND // 200
"""How long a health check may go unseen while requests are run one after another, in ns."""
UNNOTICED: Final = SECOND // 50
"""The same of any request: such a time is missing in what tells a standing queue from a burst."""

_ATTEND: Final = Step.ATTEND
_RUN: Final = Step.RUN
_LEAVE: Final = Step.LEAVE

_BEAT: Final = int(BEAT * SECOND)
_IDLE_BEAT: Final = int(IDLE_BEAT * SECOND)


class Loop:
    """Serve `app` on `listeners`, up to `site.most_threads` requests at once.

    `board` has one more thread record than that. `on_recycle` is told why this worker should be
    replaced: "requests" (it has answered requests.max), or a stuck thread. `on_end` is called in one of the
    threads when nothing is served any more.
    """

    def __init__(
        self,
        *,
        site: Site,
        app: App,
        listeners: Listeners,
        board: WorkerWriter,
        errors: ErrorLog,
        access: AccessLog | None,
        on_recycle: Callable[[Recycle], None],
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._epoll = unpatched.epoll()
        self._context = context = context_of(site, app, board, errors, access, self._epoll)
        self._alarm = context.alarm
        self._listeners = listeners.sockets
        self._on_end = on_end
        bulk, blocks = Bulk(site.most_threads), Blocks(context.alarm)
        queue = RequestQueue(site.queue, site.most_threads, bulk, int(site.limits.queue_age * SECOND))
        self._connections = connections = Connections(queue)
        refused = Complaint(errors.warning, "no more threads")
        self._pool = pool = self._make_pool(site.elastic, board, refused)
        self._baton = pool.baton
        self._acceptor = Acceptor(
            context, connections, pool, listeners, lambda now: self._admission.make_room(now)
        )
        addresses = Addresses(site.limits.per_address) if site.limits.per_address else None
        self._ending = Ending(context, connections, self._acceptor, addresses)
        self._admission = Admission(context, connections, self._ending, listeners, addresses, bulk, blocks)
        self._service = Service(
            context, connections, pool, self._acceptor, self._admission, self._ending, bulk, on_recycle
        )
        self.serving = Serving(pool, self._service.takeovers)
        self._deadlines = Deadlines(context, self._service, self._ending, pool, blocks)
        self._noticing = Noticing(connections, self._deadlines.left, self._service.drop_queued)
        self._checks = self._service.health.paths
        self._linger = int(site.timeouts.linger * SECOND)
        self._drain_at = NEVER
        self._draining = self._stopped = self._forked = False
        self._addresses: set[object] = set()
        self._begun = threading.Event()
        self._finished = threading.Event()

    def _make_pool(self, bounds: Elastic, board: WorkerWriter, refused: Complaint) -> Pool:
        return Pool(bounds, board, self._alarm, refused, self._work)

    def obey(self, work: Callable[[], None]) -> None:
        """Do `work`, which waits for orders, while others serve."""
        work()

    def watch(self, fd: int, work: Callable[[], None]) -> bool:
        """Do `work` when there is something to read; False if the main thread is to do that."""
        return False

    def prepare(self) -> None:
        """Start the threads, which wait for `start`. Raises RuntimeError if the system gives no more."""
        self._baton.start()
        self._pool.start()

    def start(self) -> None:
        """Accept connections; returns at once."""
        self._epoll.register(self._alarm.fd, select.EPOLLIN)
        self._acceptor.come_back()
        self._context.board.set("accepting", 1)
        for listener in self._listeners:
            watch_over(listener)
        self._addresses = {forks.address_of(listener) for listener in self._listeners}
        forks.on_child(self._close_in_child)
        self._begun.set()

    def leave(self, going: Going) -> None:
        """Answer health checks accordingly from now on. Any thread."""
        self._service.health.leave(going)

    def may_grow(self, workers: bool) -> None:
        """Whether the master may start more workers for load: then nobody has to be refused. Any thread."""
        self._connections.queue.may_grow(workers)

    def put_in_quarantine(self, kinds: Mapping[str, float]) -> None:
        """Refuse requests of these kinds from now on, each until a time in monotonic seconds. Any thread."""
        self._service.quarantine.put(kinds)

    def spread(self, seconds: float) -> None:
        """Others have come for load: let go of connections beyond our share for so long. Any thread."""
        self._acceptor.spread(time.monotonic_ns() + int(seconds * SECOND))

    def drain(self, *, lame_duck: float) -> None:
        """Serve `lame_duck` seconds more, then stop accepting and end connections politely. Any thread."""
        self._drain_at = min(self._drain_at, time.monotonic_ns() + int(lame_duck * SECOND))
        self._alarm.no_later_than(self._drain_at)

    def stop(self) -> None:
        """Close listeners and connections at once, even with requests in the application, and wait until that
        is done, which the access log tells of. Any thread but those of the loop."""
        self._stopped = True
        self._alarm.no_later_than(0)
        self._wait_closed()

    def _wait_closed(self) -> None:
        self._finished.wait(CLOSING)

    def threads_at(self, question: int) -> Iterator[ThreadsAt]:
        """What all threads of this process do, for the master. Called by the main thread."""
        return threads_at(question, self.serving, self._service.lost.threads)

    @property
    def takeovers(self) -> Takeovers:
        return self._service.takeovers

    @property
    def memory(self) -> MemoryWatch:
        return self._service.memory

    def join(self, timeout: float | None) -> bool:
        """Wait, at most `timeout` seconds, until nothing is in hand and no connection is left."""
        return self._finished.wait(timeout)

    def _close_in_child(self) -> None:
        """In a child that the application forked: it has copies of our sockets, and must neither answer on
        them nor keep them open. Its only thread finds its request written off when it returns here."""
        self._forked = self._stopped = True
        for connection in self._connections.open.values():
            connection.close_in_child()
        for listener in self._listeners:
            listener.close()
        forks.close_sockets_at(self._addresses)
        self._epoll.close()
        self._alarm.close_in_child()
        self.memory.close_in_child()
        self._context.gateway.came_back = forks.came_back
        for thread in self._pool:
            thread.token.clear()

    # The threads.

    def _work(self, thread: WorkerThread) -> None:
        """A thread's life: with the baton, poll and serve; without it, serve requests that wait."""
        thread.record.run_by(threading.get_ident())
        thread.record.end()  # one that was written off may have had the record before
        self._begun.wait()
        while not (self._stopped or thread.written_off):
            try:
                if not thread.has_baton:
                    crowded = self._pool.crowded
                    if not crowded and self._goes_on(thread):
                        continue
                    if not self._baton.take(thread, crowded):
                        return
                    self._baton.release_held()
                    if self._checks:
                        self._let_checks_pass(thread)
                while thread.has_baton and not self._stopped:
                    self._turn(thread)
            except Exception as error:
                self._go_on_after(error, thread)
        if self._forked:
            forks.came_back()
        if thread.written_off:  # another one counts on in its record
            return
        thread.counts.show_all()
        if not thread.has_baton:
            self._baton.take(thread)  # its holder may be in the application forever
        self._close_all()
        self._baton.give(thread)

    def _goes_on(self, thread: WorkerThread) -> bool:
        """Whoever comes back, while others wait, runs what is next without the baton: it is awake, and has
        the GIL."""
        if self._service.run_queued(thread):
            return True
        return self._baton.blocking.all.blocking and self._run_read(thread)

    def _go_on_after(self, error: Exception, thread: WorkerThread) -> None:
        """An error of our own, in that thread; after some there is no going on."""
        if isinstance(error, Broken):
            self._context.errors.error("worker broken", reason=str(error), next="ending")
            self._stopped = True
        else:
            self._context.errors.fault("error in the server", error, next="connection closed")
            self._service.recover(thread)

    def _turn(self, thread: WorkerThread) -> None:
        """One turn of the thread that holds the baton.

        Everything that is ready is read and parsed before the application is called for any of it: so the
        parser's code enters the processor's caches once, and not again after each call. Likewise answers are
        sent together, and a client with many connections is woken once, not for each. The first of them
        waits at most HELD for the others, and for a call that blocks no longer than its lease.
        """
        service, connections = self._service, self._connections
        if connections.leaving and (not connections.complete or self._overdue()):
            while connections.leaving:
                service.attend(connections.leaving.popleft(), thread, _LEAVE)
            thread.record.end()
        elif connections.complete:  # before the queue: all that could be next should be in it
            if self._unnoticed():
                self._poll(at_once=True)
            if not connections.taken:
                service.take(len(connections.complete))
            self._run_read(thread)
        elif connections.queue.size and self._may_run_queued(thread) and service.run_queued(thread):
            pass
        elif connections.ready:
            for _ in range(min(len(connections.ready), BATCH)):
                service.attend(connections.ready.popleft(), thread, _ATTEND)
            if connections.taken and connections.complete:  # further requests of the same clients
                service.take(len(connections.complete))
            if connections.ready:  # a client that sends without end must not keep us from the others
                self._look_out(thread)
        else:
            self._look_out(thread)

    def _run_read(self, thread: WorkerThread) -> bool:
        connection = self._connections.next_read()
        if connection is not None:
            self._service.attend(connection, thread, _RUN)
        return connection is not None

    def _look_out(self, thread: WorkerThread, *, at_once: bool = False) -> None:
        thread.counts.show()
        if self._connections.taken:
            self._connections.taken = 0
            self._context.board.set("taken", 0)
        if self._connections.handshakes:
            self._service.attend(self._connections.handshakes.popleft(), thread, Step.SHAKE_HANDS)
        self._poll(at_once=at_once)

    def _may_run_queued(self, thread: WorkerThread) -> bool:
        """Whether those that wait are next. While some are refused, first see who has come: they, too, are
        either in time or not."""
        connections = self._connections
        now = time.monotonic_ns()
        if connections.queue.sheds_until <= now:
            return True
        if not connections.ready and connections.now + FRESH <= now:
            self._look_out(thread, at_once=True)
        return not connections.ready

    def _overdue(self) -> bool:
        """Whether the first answer has waited long enough for others, or would for the kernel."""
        return self._connections.done - self._connections.leaving[0].answered > HELD or self._unnoticed()

    def _unnoticed(self) -> bool:
        """Whether so much has been run since the kernel was asked that others may have come long ago."""
        return self._connections.done - self._connections.now > UNNOTICED

    def _let_checks_pass(self, thread: WorkerThread) -> None:
        """What has been read is run before anything else is read. If all of that takes long, each costs a
        lease before the thread with the baton is another one: 100 ms for 32 that arrive together."""
        connections, service = self._connections, self._service
        if not (connections.complete or connections.queue.size):
            return
        if time.monotonic_ns() - connections.now < UNSEEN:
            return
        self._poll(at_once=True)
        for _ in range(len(connections.ready)):
            service.attend(connections.ready.popleft(), thread, _ATTEND)
        for connection in filter(service.health.is_asked, connections.complete.copy()):  # others may add some
            if connections.withdraw(connection):
                service.attend(connection, thread, _RUN)

    # The poll.

    def _poll(self, *, at_once: bool = False) -> None:
        connections, acceptor = self._connections, self._acceptor
        if not self._pool.permits and not acceptor.away:
            acceptor.yield_to_peers(connections.now)
            if self._pool.permits:  # one has come back since we looked
                acceptor.freed()
        self._pool.tell()
        if acceptor.spreads_until:
            self._context.gateway.parting = acceptor.parting(connections.now)
        events = self._await_events(0.0 if at_once else self._timeout())
        if len(events) == BATCH:
            events += self._events(0.0, EVENTS)
        connections.now = now = time.monotonic_ns()
        self._context.board.set("heartbeat", now)
        if self.memory.look_at <= now:
            self.memory.look(now)
        try:
            others = []
            for fd, mask in events:
                connection = connections.open.get(fd)
                if connection is not None:
                    self._noticing.mark(connection, mask)
                else:
                    others.append(fd)
            for fd in dict.fromkeys(others):  # the kernel names these twice if it is asked twice
                self._on_other(fd, now)
        except Exception:
            self._noticing.hand_out([fd for fd, _ in events])
            raise
        if self._alarm.due <= now:
            self._look(now)

    def _on_other(self, fd: int, now: int) -> None:
        """An event of a listener, the alarm, or a connection that has been closed meanwhile."""
        if fd in self._acceptor:
            self._admit(self._acceptor.accept(fd, now))
        elif fd == self._alarm.fd:
            os.eventfd_read(fd)
        elif (upgraded := self._connections.tunnels.get(fd)) is not None:
            self._connections.call(upgraded)

    def _admit(self, accepted: Iterator[Accepted]) -> None:
        for sock, address, listener in accepted:
            connection = self._admission.adopt(sock, address, listener)
            self._service.follow(connection, self._admission.begin(connection), True)

    def _await_events(self, timeout: float) -> list[tuple[int, int]]:
        """Raises Broken."""
        return self._events(timeout, BATCH)

    def _events(self, timeout: float, most: int) -> list[tuple[int, int]]:
        """Raises Broken."""
        try:
            return self._epoll.poll(timeout, most)
        except OSError as error:  # epoll_wait(2): all of its errors concern the descriptor
            raise Broken("epoll instance", error) from None

    def _timeout(self) -> float:
        """Seconds until the next deadline or heartbeat; if that fails to come, something holds the GIL."""
        connections = self._connections
        if connections.handshakes or connections.ready:  # there is more to do at once
            return 0.0
        beat = connections.now + (_BEAT if self._pool.busy else _IDLE_BEAT)
        soonest = min(self._alarm.due, beat)
        if connections.queue.size:
            soonest = min(soonest, connections.queue.look_at, self._pool.look_at)
        return max(0.0, (soonest - time.monotonic_ns()) / SECOND)

    def _look(self, now: int) -> None:
        """Do everything that depends on the time."""
        self._alarm.reset()
        soonest = now + SECOND  # in case anything goes wrong
        try:
            if self._drain_at <= now:
                self._end_politely(now)
            self._acceptor.look_again(now)
            soonest = min(self._deadlines.look(now), self._acceptor.until)
        finally:
            self._alarm.no_later_than(soonest if self._draining else min(soonest, self._drain_at))
        if self._draining and not (self._connections.open or self._pool.busy or self.takeovers.threads):
            self._stopped = True

    def _end_politely(self, now: int) -> None:
        """Draining: accept only what the kernel has already accepted for us, and hurry idle connections."""
        if not self._draining:
            self._draining = self._context.gateway.closing = True
            self._context.board.set("accepting", 0)
            self._context.waits[State.IDLE] = self._linger
            self._admit(self._acceptor.close())
        for connection in list(self._connections.open.values()):
            if connection.state in (State.NEW, State.IDLE):
                connection.deadline = min(connection.deadline, now + self._linger)

    def _close_all(self) -> None:
        """The first thread that notices the end closes everything."""
        if self._finished.is_set():
            return
        self._baton.stop()
        self._context.board.set("accepting", 0)
        self._acceptor.discard()
        self.takeovers.end()
        self._deadlines.end()
        self._finished.set()
        self._on_end()
