"""TLS handshakes, one step at a time.

A step costs as much as many requests (an RSA signature some 0.7 ms), so connections that need one do not
stand among those that are ready, all of which are read before anything else is done. Whoever polls takes one
step between two polls: a thousand clients that arrive at once delay everybody else by a step.
"""

from __future__ import annotations

from superwsgi.log.error import ErrorLog
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.serve.service import Service
from superwsgi.worker.serve.thread import Hand


class Handshakes:
    """`waiting`: connections that something has arrived for, owned."""

    def __init__(self, service: Service, errors: ErrorLog) -> None:
        self.waiting = service.handshakes
        self._service = service
        self._errors = errors

    def step(self, hand: Hand) -> None:
        """Go on with the one that has waited longest."""
        connection = hand.attended = self.waiting.popleft()
        owned = self._step(connection)
        hand.attended = None
        if owned:
            self._service.let_go(connection, hand)

    def _step(self, connection: Connection) -> bool:
        tls, now = connection.tls, self._service.now
        assert tls is not None
        if connection.deadline <= now or (connection.ended and not tls.begun):
            # It has waited for too long, or left: spare the work.
            return self._service.ending.close(connection)
        try:
            with connection.writing:
                done = tls.handshake()
                behind = tls.open(b"") if done else b""
        except OSError as error:
            self._errors.debug("handshake failed", remote=connection.remote or "unix", reason=str(error))
            return self._service.ending.hang_up(connection, now)
        return self._service.secured(connection, behind) if done else True
