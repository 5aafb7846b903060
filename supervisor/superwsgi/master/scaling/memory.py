"""For how many workers there is memory. Pure numbers; scaler.py asks the kernel.

A further worker takes what the largest one has for itself: what it shares with the mold is there already.
Those that are smaller may become as large, and one more has to fit in at any time, since a replacement is
started before its predecessor goes. Where `memory.soft` or `memory.hard` says how large a worker may become,
so many of that size have to fit into what there is altogether.

What counts as left ends where memory is short (memory/pressure.py): else workers would be recycled to make
room for those that were added.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from superwsgi.log.spelling import size
from superwsgi.master.memory import pressure
from superwsgi.master.scaling.demand import WorkerRoom
from superwsgi.system.machine import Room

UNKNOWN = WorkerRoom(1 << 20)
"""Where nothing can be measured, nothing is known that speaks against more."""


@dataclass(frozen=True, slots=True)
class MemoryView:
    """In bytes: what the site may use in `total`, what of it is `left` before memory is short, the resident
    memory of each worker, and what the largest has for itself (`own`). `limit` is how large one may become
    by the site file, as the figure called `measure`, and `key` where that is said."""

    total: int
    left: int
    resident: tuple[int, ...]
    own: int
    limit: int | None = None
    measure: Literal["rss", "pss", "uss"] = "rss"
    key: str = ""


def left(rooms: Iterable[Room]) -> int | None:
    """Bytes that may still be used before memory is short anywhere, files in use included; None if nothing is
    known."""
    return min((int(pressure.FULL * room.limit) - room.in_use for room in rooms), default=None)


def room(view: MemoryView) -> WorkerRoom:
    """For how many workers, with those that there are."""
    return min(_by_what_is_left(view), _by_limits(view), key=lambda each: each.workers)


def _by_what_is_left(view: MemoryView) -> WorkerRoom:
    largest = max(view.resident)
    to_grow = sum(largest - each for each in view.resident)
    own = max(view.own, 1)
    more = max(0, (view.left - to_grow) // own - 1)
    reason = f"memory: {size(max(0, view.left))} left, a worker takes {size(own)} of its own"
    reason += ", and one more has to fit in for a replacement"
    return WorkerRoom(len(view.resident) + more, "memory", reason)


def _by_limits(view: MemoryView) -> WorkerRoom:
    """Of a limit on resident memory the shared part is there only once."""
    if view.limit is None:
        return UNKNOWN
    shared = max(0, max(view.resident) - view.own) if view.measure == "rss" else 0
    each = max(view.limit - shared, view.own, 1)
    fit = max(0, view.total - shared) // each
    reason = f"{view.key} lets a worker become {size(view.limit)}, of {size(view.total)} that there are"
    return WorkerRoom(fit, view.key, reason)
