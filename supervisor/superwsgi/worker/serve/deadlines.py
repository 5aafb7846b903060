"""Deadlines: which are over, and what happens then. Called by whoever polls, when the alarm is due.

Times are monotonic ns.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Final

from superwsgi.http.errors import HttpError
from superwsgi.log.error import ErrorLog
from superwsgi.worker.connection.alarm import GRAIN, NEVER, SECOND
from superwsgi.worker.connection.connection import CLIENT_TOO_SLOW, Connection
from superwsgi.worker.connection.states import State
from superwsgi.worker.serve.service import Service
from superwsgi.worker.serve.thread import Hand

RATE: Final = 500
"""Bytes a second at which a body has to come and a response that waits for its client has to go, on average
over each `timeouts.body` and `timeouts.send`. Slower than any modem, faster than a client that only holds on:
without it a byte every now and then would keep a connection, what is kept for it, and the thread of whoever
streams, for ever. Apache's RequestReadTimeout asks for the same of bodies, IIS for 240 both ways."""

_SILENT: Final = frozenset({State.NEW, State.IDLE})
_RATED: Final = frozenset({State.BODY, State.SENDING})

_TOO_SLOW: Final = {
    State.HEAD: HttpError(408, "head took longer than timeouts.head"),
    State.BODY: HttpError(408, "body slower than timeouts.body allows"),
    State.QUEUED: HttpError(503, "no free thread within timeouts.queue"),
}


class Watch:
    """`replace` puts a new thread in a stuck one's place; `on_hang` is told that one does not come back."""

    def __init__(
        self,
        service: Service,
        hands: list[Hand],
        errors: ErrorLog,
        *,
        timeout: int,
        replace: Callable[[Hand], None],
        on_hang: Callable[[], None],
    ) -> None:
        self._service = service
        self._hands = hands
        self._errors = errors
        self._timeout = timeout  # timeouts.request
        self._replace = replace
        self._on_hang = on_hang

    def look(self, now: int) -> int:
        """End what is overdue; returns when to look again."""
        soonest = NEVER
        for connection in list(self._service.connections.values()):
            deadline = connection.deadline
            if deadline <= now:
                self._connection_overdue(connection, now)
                deadline = self._next_deadline(connection)
            if deadline < soonest:
                soonest = deadline
        for hand in list(self._hands):
            if hand.slot:
                if hand.deadline <= now:
                    self._hand_overdue(hand, now)
                soonest = min(soonest, hand.deadline)
        soonest = min(soonest, self._look_for_lost(now))
        return soonest if soonest >= NEVER else max(soonest, now + GRAIN)

    def _next_deadline(self, connection: Connection) -> int:
        """After one was over. While RUNNING an old one means nothing: a new block will bring a new one."""
        if connection.state is State.RUNNING and connection.outbox.size == 0:
            return NEVER
        return connection.deadline

    def _connection_overdue(self, connection: Connection, now: int) -> None:
        state = connection.state
        if state is State.QUEUED:
            self._queued_too_long(connection, now)
        elif state is State.RUNNING:
            self._writer_overdue(connection, now)
        elif connection.owner.acquire(False) and (connection.deadline > now or self._end(connection, now)):
            self._service.let_go(connection)

    def _writer_overdue(self, connection: Connection, now: int) -> None:
        """What the application streams is not taken fast enough: it will be told when it goes on."""
        if connection.outbox.size == 0:
            return
        if self._fast_enough(connection, State.SENDING):
            connection.deadline = now + self._service.waits[State.SENDING]
        else:
            connection.cut(CLIENT_TOO_SLOW, reset=True)

    def _end(self, connection: Connection, now: int) -> bool:
        """What the deadline of each state leads to; returns whether the connection is still to be owned."""
        state = connection.state
        if state in _RATED and self._fast_enough(connection, state):
            connection.deadline = now + self._service.waits[state]
            return True
        if state in _SILENT and connection.has_spoken():
            connection.pending = True  # at the last moment
            return True
        if state is State.PROXY:
            return self._service.ending.turn_away(
                connection, "no PROXY protocol header within timeouts.proxy"
            )
        if state in _TOO_SLOW:
            return self._service.ending.refuse(connection, _TOO_SLOW[state], now)
        if state is State.SENDING:
            connection.cut(CLIENT_TOO_SLOW, reset=True)
        return self._service.ending.close(connection)

    def _fast_enough(self, connection: Connection, state: State) -> bool:
        moved = connection.parser.received if state is State.BODY else connection.outbox.sent
        before, connection.mark = connection.mark, moved
        return moved - before >= RATE * self._service.waits[state] // SECOND

    def _queued_too_long(self, connection: Connection, now: int) -> None:
        """Whoever removes it from the queue owns it: us, or a thread that has just become free."""
        try:
            self._service.queue.remove(connection)
        except ValueError:
            return
        if self._service.ending.refuse(connection, _TOO_SLOW[State.QUEUED], now):
            self._service.let_go(connection)

    def _hand_overdue(self, hand: Hand, now: int) -> None:
        """The application gives no sign of life: end the request in its place, and do without the thread."""
        connection = hand.connection
        if connection is None:
            return
        if connection.outbox.full:
            hand.deadline = now + self._timeout  # it waits for its client, who has a deadline of its own
        elif connection.begun and connection.spoke + self._timeout > now:
            hand.deadline = connection.spoke + self._timeout
        else:
            self._write_off(hand, now)

    def _write_off(self, hand: Hand, now: int) -> None:
        try:
            hand.slot.pop()
        except IndexError:
            return  # it has just come back
        connection, exchange = hand.connection, hand.exchange
        assert connection is not None
        assert exchange is not None
        request = exchange.request
        self._errors.error(
            "request stuck",
            detail=stack_of(hand),
            request=request.id,
            method=request.method,
            target=request.target.decode("latin-1"),
            seconds=round((now - exchange.began) / SECOND, 1),
            next="thread replaced",
        )
        self._service.end_bulk(connection, request)
        hand.record.end(now, exchange.status if exchange.complete else 504, 0)
        self._service.lost[hand] = now + self._timeout
        self._replace(hand)
        if self._service.ending.abandon(connection, exchange, now):
            self._service.let_go(connection)

    def _look_for_lost(self, now: int) -> int:
        for hand, hope in list(self._service.lost.items()):
            if not hand.thread.is_alive():
                del self._service.lost[hand]
            elif hope <= now:
                self._service.lost[hand] = NEVER
                self._on_hang()
        return min(self._service.lost.values(), default=NEVER)


def stack_of(hand: Hand) -> str:
    """Where the thread is now."""
    frame = sys._current_frames().get(hand.thread.ident or 0)
    return "".join(traceback.format_stack(frame)) if frame is not None else ""
