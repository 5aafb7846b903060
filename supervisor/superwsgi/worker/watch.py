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
from superwsgi.worker.alarm import GRAIN, NEVER, SECOND
from superwsgi.worker.connection import Connection
from superwsgi.worker.hand import Hand
from superwsgi.worker.service import Service
from superwsgi.worker.states import State

BODY_RATE: Final = 500
"""Bytes a second that a body has to come at, on average over each `timeouts.body`; Apache's
RequestReadTimeout asks for the same. Slower than any modem, faster than a client that only holds on."""

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
        self._lost: dict[Hand, int] = {}  # written-off threads, and when to give up hope

    def look(self, now: int) -> int:
        """End what is overdue; returns when to look again."""
        soonest = NEVER
        for connection in list(self._service.connections.values()):
            if connection.deadline <= now:
                self._connection_overdue(connection, now)
            soonest = min(soonest, connection.deadline)
        for hand in list(self._hands):
            if hand.slot:
                if hand.deadline <= now:
                    self._hand_overdue(hand, now)
                soonest = min(soonest, hand.deadline)
        soonest = min(soonest, self._look_for_lost(now))
        return soonest if soonest >= NEVER else max(soonest, now + GRAIN)

    def _connection_overdue(self, connection: Connection, now: int) -> None:
        if connection.state is State.QUEUED:
            self._queued_too_long(connection, now)
        elif connection.state is State.RUNNING:
            connection.deadline = NEVER
            if connection.outbox.size:  # its client takes nothing: whoever writes to it will see
                connection.cut(reset=True)
        elif connection.owner.acquire(False) and (connection.deadline > now or self._end(connection, now)):
            self._service.let_go(connection)

    def _end(self, connection: Connection, now: int) -> bool:
        """What the deadline of each state leads to; returns whether the connection is still to be owned."""
        state = connection.state
        if state is State.BODY and self._fast_enough(connection):
            connection.deadline = now + self._service.waits[state]
            return True
        if state is State.IDLE and connection.has_spoken():
            connection.pending = True  # at the last moment
            return True
        if state is State.PROXY:
            return self._service.ending.turn_away(
                connection, "no PROXY protocol header within timeouts.proxy"
            )
        if state in _TOO_SLOW:
            return self._service.ending.refuse(connection, _TOO_SLOW[state], now)
        if state is State.SENDING:
            connection.cut(reset=True)
        return self._service.ending.close(connection)

    def _fast_enough(self, connection: Connection) -> bool:
        received, before = connection.parser.received, connection.mark
        connection.mark = received
        return received - before >= BODY_RATE * self._service.waits[State.BODY] // SECOND

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
        connection = hand.connection
        assert connection is not None
        assert hand.request is not None
        took = now - hand.deadline + self._timeout
        self._errors.error(
            "request stuck",
            detail=stack_of(hand),
            request=hand.request.id,
            method=hand.request.method,
            target=hand.request.target.decode("latin-1"),
            seconds=round(took / SECOND, 1),
            next="thread replaced",
        )
        hand.record.end(now, 504, 0)
        self._lost[hand] = now + self._timeout
        self._replace(hand)
        if self._service.ending.abandon(connection, hand.request, took, now):
            self._service.let_go(connection)

    def _look_for_lost(self, now: int) -> int:
        for hand, hope in list(self._lost.items()):
            if not hand.thread.is_alive():
                del self._lost[hand]
            elif hope <= now:
                self._lost[hand] = NEVER
                self._on_hang()
        return min(self._lost.values(), default=NEVER)


def stack_of(hand: Hand) -> str:
    """Where the thread is now."""
    frame = sys._current_frames().get(hand.thread.ident or 0)
    return "".join(traceback.format_stack(frame)) if frame is not None else ""
