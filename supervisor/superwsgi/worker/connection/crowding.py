"""Which connections go when there is no room for new ones: decided at once from those that are open.

Times are monotonic ns.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from ipaddress import IPv6Address
from typing import Final

from superwsgi import unpatched
from superwsgi.http.client.peers import parse
from superwsgi.worker.connection.alarm import SECOND
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.states import State

POLITE: Final = 2 * SECOND
"""How long a connection must have been silent before it is closed for others: a client that is about to go on
would find it closed with a request on the way."""

_LINGERING: Final = State.LINGERING
_UNNEEDED: Final = frozenset({State.NEW, State.IDLE, State.LINGERING})

_SITE_BYTES: Final = 8


def least_needed(
    connections: Iterable[Connection], waits: dict[State, int], now: int, count: int
) -> list[Connection]:
    """Up to `count` connections. First those that have had their last response: otherwise a refused client
    that stays would take up room as if it had not been refused. Then those between two requests, or before
    their first one: browsers open some in reserve, and attackers open many to keep others out. `waits` says
    how long each may stay."""
    unneeded = [
        (
            connection.state is not _LINGERING,
            connection.deadline - waits[connection.state],
            connection.fd,
            connection,
        )
        for connection in connections
        if connection.state in _UNNEEDED
    ]
    return [
        connection
        for silent, since, _, connection in heapq.nsmallest(count, unneeded)
        if not silent or since <= now - POLITE
    ]


class Addresses:
    """How many connections each client has open, at most `limit`.

    A client is an IPv4 address or an IPv6 /64, which is what a site or a household is given: within it
    anybody can have any number of addresses.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: dict[str, int] = {}
        self._lock = unpatched.shared_lock()

    def enter(self, client: str) -> bool:
        """False if it has too many already."""
        with self._lock:
            already = self._open.get(client, 0)
            if already >= self._limit:
                return False
            self._open[client] = already + 1
            return True

    def leave(self, client: str) -> None:
        with self._lock:
            left = self._open[client] - 1
            if left:
                self._open[client] = left
            else:
                del self._open[client]


def client_of(address: str) -> str:
    """The client that an address belongs to; empty if it is not an address."""
    parsed = parse(address)
    if isinstance(parsed, IPv6Address):
        return parsed.packed[:_SITE_BYTES].hex(":", 2) + "::/64"
    return "" if parsed is None else str(parsed)
