"""Gates: at most so many requests of a rule are in the application at once (`threads` in `paths`). What finds
one closed is gated: it waits in the queue, others pass it, and for them it is not there.

Called by the queue, under its lock; `gates_of` and `closed` by anybody.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from superwsgi.http.errors import HttpError
from superwsgi.http.request.head import Request
from superwsgi.http.request.rules import Gate
from superwsgi.worker.connection.alarm import NEVER

Gates = tuple[Gate, ...]
"""Of one request: of its rule, or of all rules that may be its own."""

FULL: Final = HttpError(503, "too many requests wait for a thread (limits.queue)")


def gates_of(request: Request) -> Gates:
    return () if request.rule is None else request.rule.gates


def room(gates: Gates) -> int:
    """How many may pass all of them."""
    return min([gate.room for gate in gates], default=NEVER)


def narrowest(gates: Gates) -> Gate | None:
    return min(gates, key=_room_of, default=None)


def closed(gates: Gates) -> Gate | None:
    """One that lets nobody pass."""
    gate = narrowest(gates)
    return None if gate is None or gate.room > 0 else gate


def passed(gates: Gates, change: int = 1) -> None:
    """A request has passed them, or left the application (-1)."""
    for gate in gates:
        gate.running += change


def recount(known: Iterable[Gate], waiting: Iterable[tuple[Gates, int]]) -> None:
    """Note how many wait at each of the known gates."""
    for gate in known:
        gate.waiting = 0
    for gates, count in waiting:
        for gate in gates:
            gate.waiting += count


def crowded(gates: Gates, limit: int) -> HttpError | None:
    """Why one more may not wait at these, where `limit` may at each."""
    for gate in gates:
        if gate.waiting >= limit:
            return FULL if gate.room > 0 else _too_many(gate)
    return None


def _room_of(gate: Gate) -> int:
    return gate.room


def _too_many(gate: Gate) -> HttpError:
    allows = f"{gate.key} ({gate.most})"
    return HttpError(503, f"too many requests wait for those that {allows} allows: raise it, or limits.queue")
