"""What a client sends: read, decrypted, parsed, until a request is complete.

Called by the owner of the connection. A method that takes a step with one returns the next Step.
"""

from __future__ import annotations

from typing import Final

from superwsgi.http.errors import ClientGone, HttpError
from superwsgi.http.request.parser import Phase
from superwsgi.tls.interface import Tls
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.states import Event, State
from superwsgi.worker.serve.connections import Connections, Step
from superwsgi.worker.serve.context import Context
from superwsgi.worker.serve.ending import Ending

_BETWEEN: Final = Phase.BETWEEN
_BODY: Final = State.BODY
_RESTING: Final = Event.REST
_ATTEND: Final = Step.ATTEND
_RUN: Final = Step.RUN
_REST: Final = Step.REST

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

BODY_SIZE: Final = 256 << 10
HEAD_SIZE: Final = 16 << 10
"""Bytes read at a time: of a body, and where a head is expected. Bytes that follow a request are kept until
it has been answered. Each step with a body costs a turn of the loop and system calls beside its bytes: with
64 KB an upload of 10 MB takes a quarter more CPU time."""


class Receiving:
    """Times are monotonic ns."""

    def __init__(self, context: Context, connections: Connections, ending: Ending) -> None:
        self._errors = context.errors
        self._connections = connections
        self._ending = ending

    def read(self, connection: Connection) -> Step:
        size = HEAD_SIZE
        if connection.state is _BODY:
            size = BODY_SIZE
            if connection.sender.tls is None and (room := connection.parser.room()) is not None:
                return self._fill(connection, room)
        try:
            data = connection.receive(size)
        except OSError:
            return self._ending.lose(connection)
        if data is None:
            return _REST
        if not data:
            return self._ending.lose(connection)
        if len(data) == size or connection.ended:
            connection.called = True  # the edge was for these bytes and any that follow
        tls = connection.sender.tls
        if tls is not None:
            return self._decrypt(connection, tls, data)
        connection.parser.feed(data)
        return self._parsed(connection)

    def _fill(self, connection: Connection, room: memoryview) -> Step:
        """Read into the memory of its body."""
        try:
            size = connection.sock.recv_into(room)
        except BlockingIOError:
            return _REST
        except OSError:
            return self._ending.lose(connection)
        if not size:
            return self._ending.lose(connection)
        if size == len(room) or connection.ended:
            connection.called = True
        connection.parser.filled(size)
        return self._parsed(connection)

    def _decrypt(self, connection: Connection, tls: Tls, data: bytes) -> Step:
        if connection.state is State.HANDSHAKE:
            return self._await_handshake(connection, tls, data)
        try:
            data = connection.sender.decrypt(tls, data)
        except OSError as error:
            self._ending.tell_lost(connection, f"TLS failed ({error})")
            return self._ending.hang_up(
                connection, self._connections.now
            )  # not by a reset, which could lose the alert
        if not data:
            return _REST
        connection.parser.feed(data)
        return self._parsed(connection)

    def parse_on(self, connection: Connection) -> Step:
        """Others have had their turn."""
        connection.called = True  # the event may have been for bytes after these
        connection.parser.go_on()
        return self._parsed(connection)

    def _parsed(self, connection: Connection) -> Step:
        """What follows upon the bytes that have just been parsed."""
        if not connection.parser.requests:
            return self._await_rest(connection)
        noticed, answered = connection.noticed or self._connections.now, connection.answered
        connection.arrived = noticed if noticed > answered else answered
        return _RUN

    def _await_rest(self, connection: Connection) -> Step:
        """No request is complete: set the deadline for the rest, unless it is running already."""
        parser, now = connection.parser, self._connections.now
        if parser.error is not None:
            return self._ending.refuse(connection, parser.error, now)
        if parser.behind:
            connection.called = True
        if parser.phase is Phase.HEAD and connection.state is not State.HEAD:
            connection.become(Event.HEAD, now)
        elif parser.phase is Phase.BODY and connection.state is not _BODY:
            if parser.wants_continue():
                try:
                    connection.sender.send(_CONTINUE)
                except ClientGone:
                    return self._ending.lose(connection)
            connection.mark = 0
            connection.become(Event.BODY, now)
        return _REST

    def go_on(self, connection: Connection, now: int) -> Step:
        """Nothing is owed to the client any more: it may send its next request, or has."""
        if connection.follows is not _RESTING:
            return self._ending.hang_up(connection, now)
        connection.become(_RESTING, now)
        parser = connection.parser
        if parser.requests:
            connection.arrived = now  # it had to wait for the answer before it, which is its client's choice
            return _ATTEND  # when others have had their turn
        if parser.phase is not _BETWEEN or parser.error is not None:
            return self._await_rest(connection)
        return _REST

    # TLS handshakes, one step at a time.

    def _await_handshake(self, connection: Connection, tls: Tls, data: bytes) -> Step:
        """A step costs as much as many requests (an RSA signature some 0.7 ms), so connections that need one
        are not in the ready queue, all of which is read before anything else is done. The polling thread
        takes one step between two polls: a thousand clients that arrive at once delay the others by one step.
        """
        try:
            tls.feed(data)
        except HttpError as error:
            connection.sender.stay_plain()
            connection.parser.feed(data)  # its request, for the answer and the access log
            return self._ending.refuse(connection, error, self._connections.now)
        return Step.SHAKE_HANDS

    def shake_hands(self, connection: Connection) -> Step:
        tls, now = connection.sender.tls, self._connections.now
        assert tls is not None
        if connection.deadline <= now or (connection.ended and not tls.begun):
            # It has waited too long, or left: save the work.
            return self._ending.close(connection)
        try:
            behind = connection.sender.shake_hands(tls)
        except OSError as error:
            remote = connection.remote or "unix"
            self._errors.debug("handshake failed", remote=remote, reason=str(error))
            return self._ending.hang_up(connection, now)
        if behind is None:
            return _REST
        if behind:
            connection.parser.feed(behind)
            connection.arrived = now
        return self.go_on(connection, now)
