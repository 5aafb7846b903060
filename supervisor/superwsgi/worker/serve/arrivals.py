"""How a connection begins: adopted, perhaps introduced by its proxy, counted; and who goes for it.

Called in whichever thread polls, which owns what has just been accepted. A method that goes on with a
connection returns whether the caller still owns it: False when it was closed.
"""

from __future__ import annotations

from typing import Final

from superwsgi.http.client.peers import UNIX, Trusted
from superwsgi.http.errors import HttpError, ProxyHeaderError
from superwsgi.http.response.exchange import Gateway
from superwsgi.log.rate_limit import Complaint
from superwsgi.scoreboard import WorkerWriter
from superwsgi.worker.connection.alarm import Alarm
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.states import Event, State
from superwsgi.worker.serve.crowding import Addresses, client_of, least_needed
from superwsgi.worker.serve.ending import Ending

_CROWDED: Final = HttpError(429, "more connections than limits.per_address")


class Arrivals:
    """`connections` are the worker's open ones, `waits` how long one may stay in a state. Times are
    monotonic ns."""

    def __init__(
        self,
        connections: dict[int, Connection],
        waits: dict[State, int],
        gateway: Gateway,
        alarm: Alarm,
        board: WorkerWriter,
        ending: Ending,
        trusted: Trusted,
        addresses: Addresses | None,
    ) -> None:
        self._connections = connections
        self._waits = waits
        self._errors = gateway.errors
        self._alarm = alarm
        self._board = board
        self._ending = ending
        self._trusted = trusted
        self._addresses = addresses
        self._crowded = Complaint(gateway.errors.warning, "too many connections of one client")
        self._accepted = 0

    def adopt(self, connection: Connection, now: int) -> None:
        """A connection was accepted; nobody else knows it yet."""
        connection.owner.acquire(False)
        self._connections[connection.fd] = connection
        self._accepted += 1
        self._board.set("connections", len(self._connections))
        self._board.set("accepted", self._accepted)
        connection.deadline = now + self._waits[connection.state]
        self._alarm.no_later_than(connection.deadline)

    def introduce(self, connection: Connection, now: int) -> bool:
        """Its proxy says whose connection it is. What stands behind that is still unread."""
        try:
            known = connection.introduce(self._trusted)
        except BlockingIOError:
            return True
        except OSError:  # many health checks do no more than connect
            self._errors.debug("connection closed by its peer", peer=connection.remote or "unix")
            return self._ending.close(connection)
        except ProxyHeaderError as error:
            return self._ending.turn_away(connection, str(error))
        if known or connection.ended:
            connection.pending = True  # no event follows for what is here already
        if not known:
            return True
        connection.become(Event.INTRODUCE if connection.tls is None else Event.SECURE, now)
        return self.count(connection, now)

    def count(self, connection: Connection, now: int) -> bool:
        """It is known at which address its client is, or the last proxy that is believed."""
        address = connection.remote
        if self._addresses is None or self._trusted.peer(address or UNIX).trusted:
            return True
        client = client_of(address)
        if not client or self._addresses.enter(client):
            connection.client = client
            return True
        self._crowded.make(now, client=client, limit="limits.per_address", next="refused with 429")
        if connection.tls is not None:
            return self._ending.turn_away(connection, _CROWDED.reason)
        return self._ending.refuse(connection, _CROWDED, now)

    def make_room(self, now: int) -> bool:
        """Close some connections that nobody needs, or few; False where there are none."""
        count = max(1, len(self._connections) // 32)
        candidates = least_needed(self._connections.values(), self._waits, now, count)
        return sum(map(self._close_unneeded, candidates)) > 0

    def _close_unneeded(self, connection: Connection) -> bool:
        if not connection.owner.acquire(False):
            return False
        state = connection.state
        if state is State.LINGERING or (state in (State.NEW, State.IDLE) and not connection.has_spoken()):
            return not self._ending.close(connection)
        connection.owner.release()
        return False
