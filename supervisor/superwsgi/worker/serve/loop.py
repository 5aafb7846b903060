"""The threaded loop of a worker: equal threads around one epoll.

Whoever holds the baton polls, hands out what is ready, and works like the others; see baton.py for when it is
passed on, acceptor.py for listeners, admission.py for what they accept, service.py for what is done with a
connection, deadlines.py for deadlines.
This file has the threads, the poll, and the end: drain and stop.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence, Set
from typing import Final

from superwsgi.config.schema import Site
from superwsgi.http.client.peers import Trusted
from superwsgi.http.response.exchange import App, Gateway
from superwsgi.log.access import AccessLog
from superwsgi.log.error import ErrorLog
from superwsgi.scoreboard import BEAT, IDLE_BEAT, WorkerWriter
from superwsgi.tls.interface import Certificates
from superwsgi.worker import forks
from superwsgi.worker.connection.alarm import NEVER, SECOND, Alarm, deadline_after
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.states import State
from superwsgi.worker.serve.acceptor import Acceptor, Broken
from superwsgi.worker.serve.admission import Admission
from superwsgi.worker.serve.baton import Baton
from superwsgi.worker.serve.deadlines import Watch
from superwsgi.worker.serve.handshakes import Handshakes
from superwsgi.worker.serve.service import Service
from superwsgi.worker.serve.thread import Hand

BATCH: Final = 64
"""Events taken from the kernel at once."""

HELD: Final = SECOND // 1000
"""How long an answer may wait for those of others, in ns."""

_LOST: Final = select.EPOLLERR | select.EPOLLHUP

_BEAT: Final = int(BEAT * SECOND)
_IDLE_BEAT: Final = int(IDLE_BEAT * SECOND)


class Loop:
    """Serve `app` on `listeners` (non-blocking, shared with siblings), `site.threads` requests at once.

    `board` has one thread record more than `site.threads`. `on_recycle` is told why this worker should be
    replaced: "requests" (it has answered requests.max) or "hang" (a stuck thread does not come back).
    `on_end` is called in one of the threads when nothing is served any more. `certificates` are for the
    `secured` of the listeners.
    """

    def __init__(
        self,
        *,
        site: Site,
        app: App,
        listeners: Sequence[socket.socket],
        board: WorkerWriter,
        errors: ErrorLog,
        access: AccessLog | None,
        on_recycle: Callable[[str], None],
        on_end: Callable[[], None] = lambda: None,
        secured: Set[socket.socket] = frozenset(),
        certificates: Certificates | None = None,
    ) -> None:
        self._site = site
        self._listeners = listeners
        self._board = board
        self._errors = errors
        self._on_end = on_end
        self._epoll = select.epoll()
        self._alarm = Alarm()
        self._baton = Baton()
        self._gateway = Gateway(app, errors, closing=site.timeouts.keepalive == 0)
        self._acceptor = Acceptor(
            listeners,
            self._epoll,
            self._alarm,
            board,
            errors,
            site.limits.connections,
            self._census,
            self._make_room,
        )
        trusted = Trusted(site.proxy.trusted)
        self._service = Service(
            self._gateway,
            limits=site.limits,
            timeouts=site.timeouts,
            requests=site.requests,
            threads=site.threads,
            alarm=self._alarm,
            baton=self._baton,
            board=board,
            acceptor=self._acceptor,
            access=access,
            trusted=trusted,
            on_recycle=on_recycle,
        )
        self._handshakes = Handshakes(self._service, errors)
        self._hands = [Hand(number, board.thread(number), self._work) for number in range(site.threads + 1)]
        self._watch = Watch(
            self._service,
            self._hands,
            errors,
            timeout=deadline_after(site.timeouts.request),
            replace=self._replace,
            on_hang=lambda: on_recycle("hang"),
        )
        self._admission = Admission(
            site,
            self._service,
            self._gateway,
            epoll=self._epoll,
            alarm=self._alarm,
            trusted=trusted,
            secured=secured,
            certificates=certificates,
        )
        self._linger = int(site.timeouts.linger * SECOND)
        self._drain_at = NEVER
        self._draining = False
        self._stopped = False
        self._forked = False
        self._addresses: set[object] = set()
        self._begun = threading.Event()
        self._finished = threading.Event()

    def prepare(self) -> None:
        """Start the threads, which wait for `start`. Raises RuntimeError where the system gives no more."""
        self._baton.start()
        for hand in self._hands:
            hand.thread.start()

    def start(self) -> None:
        """Accept connections; returns at once."""
        self._epoll.register(self._alarm.fd, select.EPOLLIN)
        self._acceptor.come_back()
        self._board.set("accepting", 1)
        for listener in self._listeners:
            if listener.family != socket.AF_UNIX:
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by connections
        self._addresses = {forks.address_of(listener) for listener in self._listeners}
        forks.on_child(self._close_in_child)
        self._begun.set()

    def drain(self, *, lame_duck: float) -> None:
        """Serve on for `lame_duck` seconds, then accept no more and end connections politely. Any thread."""
        self._drain_at = min(self._drain_at, time.monotonic_ns() + int(lame_duck * SECOND))
        self._alarm.no_later_than(self._drain_at)

    def stop(self) -> None:
        """Close listeners and connections at once, whatever the application is doing. Any thread."""
        self._stopped = True
        self._alarm.no_later_than(0)

    def join(self, timeout: float | None) -> bool:
        """Wait, at most `timeout` seconds, until nothing is in hand and no connection is left."""
        return self._finished.wait(timeout)

    def _close_in_child(self) -> None:
        """In a child that the application forked: it has copies of our sockets, and must neither answer on
        them nor keep them open. Its only thread finds its request written off when it comes back here."""
        self._forked = self._stopped = True
        for connection in self._service.connections.values():
            connection.close_in_child()
        for listener in self._listeners:
            listener.close()
        forks.close_sockets_at(self._addresses)
        self._epoll.close()
        self._alarm.close_in_child()
        self._gateway.came_back = forks.came_back
        for hand in self._hands:
            hand.slot.clear()

    # The threads.

    def _work(self, hand: Hand) -> None:
        """A thread's life: with the baton, poll and serve; without it, serve who waits for a thread."""
        self._begun.wait()
        while not (self._stopped or hand.written_off):
            try:
                if not hand.holds and not self._service.take_queued(hand):
                    self._baton.take(hand)
                    self._release_held()
                while hand.holds and not self._stopped:
                    self._turn(hand)
            except Broken as broken:
                self._errors.error("worker broken", reason=str(broken), next="ending")
                self._stopped = True
            except Exception as error:
                self._errors.exception("error in the server", error, next="connection closed")
                self._service.recover(hand)
        if self._forked:
            forks.came_back()
        if hand.written_off:
            return
        if not hand.holds:
            self._baton.take(hand)  # whoever has it may be in the application for ever
        self._close_all()
        self._baton.give(hand)

    def _turn(self, hand: Hand) -> None:
        """What the holder of the baton does next.

        All that is ready is read and parsed before the application is called for any of it: the parser's code
        is fetched into the processor's caches once for all, and not again after each call. So is what sends:
        answers leave together, and a client with many connections is woken once, not for each. The first of
        them waits HELD for the others, and no longer for a call that blocks than that one's lease.
        """
        service = self._service
        if service.leaving and (not service.complete or self._overdue()):
            service.send_leaving(hand)
            return
        if service.queue and service.take_queued(hand):
            return
        if service.complete:
            service.serve(service.complete.popleft(), hand)
        elif service.ready:
            for _ in range(len(service.ready)):
                service.attend(service.ready.popleft(), hand)
            if service.ready:  # whoever sends without end must not keep us from the others
                self._look_out(hand)
        else:
            self._look_out(hand)

    def _look_out(self, hand: Hand) -> None:
        if self._service.handshakes:
            self._handshakes.step(hand)
        self._poll()

    def _overdue(self) -> bool:
        """Whether the first answer has waited long enough for others."""
        return time.monotonic_ns() - self._service.leaving[0].at > HELD

    def _release_held(self) -> None:
        """Whoever had the baton before is still in the application, with an answer that it held."""
        for each in self._hands:
            connection = each.connection
            if connection is not None and connection.held:
                connection.release()

    def _replace(self, lost: Hand) -> None:
        """A new thread for one that was written off, under its number and on its record."""
        hand = Hand(lost.number, lost.record, self._work)
        self._hands[lost.number] = hand
        hand.thread.start()
        self._service.slots.append(None)

    # The poll.

    def _poll(self) -> None:
        service, alarm = self._service, self._alarm
        if not service.slots and not self._acceptor.away:
            self._acceptor.yield_to_peers(service.now)
            if service.slots:  # since we looked
                self._acceptor.freed()
        events = self._events()
        service.now = now = time.monotonic_ns()
        self._board.set("heartbeat", now)
        try:
            for fd, mask in events:
                connection = service.connections.get(fd)
                if connection is not None:
                    self._mark(connection, mask)
            for fd, _ in events:
                if fd in self._acceptor:
                    self._admission.admit(self._acceptor.accept(fd, now))
                elif fd == alarm.fd:
                    os.eventfd_read(fd)
        except Exception:
            self._hand_out([fd for fd, _ in events])
            raise
        if alarm.due <= now:
            self._look(now)

    def _events(self) -> list[tuple[int, int]]:
        """Raises Broken."""
        try:
            return self._epoll.poll(self._timeout(), BATCH)
        except OSError as error:  # epoll_wait(2): all of them are about the descriptor
            raise Broken("epoll instance", error) from None

    def _timeout(self) -> float:
        """Until the next deadline or heartbeat: where that stays away, somebody keeps the GIL."""
        if self._service.handshakes or self._service.ready:  # the last step has led to something
            return 0.0
        beat = self._service.now + (_BEAT if self._busy else _IDLE_BEAT)
        return max(0.0, (min(self._alarm.due, beat) - time.monotonic_ns()) / SECOND)

    def _mark(self, connection: Connection, mask: int) -> None:
        """An event: take the connection, or leave word with its owner and send on in its place."""
        if mask != select.EPOLLIN:
            self._told_more(connection, mask)
        connection.pending = True
        if connection.owner.acquire(False):
            self._service.ready.append(connection)
        elif connection.outbox.size:
            connection.flush()
            connection.pending = True  # the owner may have looked before the flush
            if connection.owner.acquire(False):
                self._service.ready.append(connection)

    def _told_more(self, connection: Connection, mask: int) -> None:
        if mask & select.EPOLLRDHUP:
            connection.ended = True
        if (
            mask & _LOST and connection.outbox.size == 0
        ):  # else the next flush fails, and tells who waits for it
            connection.gone = True
        if mask & select.EPOLLOUT and connection.state is State.BODY:
            connection.flush()  # `100 Continue`, for which its client may wait

    def _hand_out(self, fds: list[int]) -> None:
        """After an error in the middle of a batch: an edge-triggered event comes only once."""
        for fd in fds:
            connection = self._service.connections.get(fd)
            if connection is not None:
                connection.pending = True
                if connection.owner.acquire(False):
                    self._service.ready.append(connection)

    def _look(self, now: int) -> None:
        """Everything that depends on the time."""
        self._alarm.reset()
        soonest = now + SECOND  # whatever goes wrong
        try:
            if self._drain_at <= now:
                self._end_politely(now)
            self._acceptor.look_again(now)
            soonest = min(self._watch.look(now), self._acceptor.until)
        finally:
            self._alarm.no_later_than(soonest if self._draining else min(soonest, self._drain_at))
        if self._draining and not self._service.connections and not self._busy:
            self._stopped = True

    def _end_politely(self, now: int) -> None:
        """Draining: accept what the kernel accepted for us and nothing else, and hurry idle connections."""
        service = self._service
        if not self._draining:
            self._draining = self._gateway.closing = True
            self._board.set("accepting", 0)
            service.waits[State.IDLE] = self._linger
            self._admission.admit(self._acceptor.close())
        for connection in list(service.connections.values()):
            if connection.state in (State.NEW, State.IDLE):
                connection.deadline = min(connection.deadline, now + self._linger)

    def _close_all(self) -> None:
        """The first thread that sees the end closes everything."""
        if self._finished.is_set():
            return
        self._baton.stop()
        self._board.set("accepting", 0)
        self._acceptor.discard()
        for connection in list(self._service.connections.values()):
            connection.cut()
            self._service.ending.log_late(connection)
            connection.sock.close()
        self._finished.set()
        self._on_end()

    # What the acceptor asks.

    def _make_room(self, now: int) -> bool:
        return self._service.arrivals.make_room(now)

    def _census(self) -> tuple[int, int]:
        return len(self._service.connections), len(self._service.slots)

    @property
    def _busy(self) -> bool:
        """Whether a request is in the application."""
        return len(self._service.slots) < self._site.threads
