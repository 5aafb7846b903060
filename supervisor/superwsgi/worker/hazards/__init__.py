"""Fork hazards: anything but memory that an import has left behind in this process (fork(2)).

A child has only the thread that forked: the work of the others stops, and the locks that they held stay
locked. It shares every descriptor, and with it the offset of a file, the bytes of a pipe, the answers on a
connection. It does not have the parent's child processes, timers, record locks and interpreters. So anything
that was not there before the import counts as a hazard, unless it is known to be harmless. Runs in a mold
between the import and the first fork, in the main thread; it changes nothing, except that garbage is
collected, log files are flushed, and of a hub of gevent that has nothing left to do the threads are ended.

Some things each child inherits as a copy of its own, as if it had imported the application: working folder,
umask, limits, priority, environment, signal handlers and mask, seccomp filters, memory policies, the
interpreter's own switches (tracemalloc, profilers), and the wake-up descriptor of signals, which a worker
sets again. An in-memory SQLite database is memory: it has neither file nor lock, and each worker would have
its own without preloading too. System V semaphores (semop(2), SEM_UNDO) and process keyrings cannot be found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from superwsgi.worker.hazards import descriptors, keeping, memory, threads
from superwsgi.worker.hazards.before import Before, inherited, now
from superwsgi.worker.hazards.finding import Hazard
from superwsgi.worker.hazards.places import Places, recorded
from superwsgi.worker.hazards.variables import Variables

__all__ = ["Before", "Places", "examine", "inherited", "now", "recorded"]

_MOST: Final = 5
"""Hazards that are named; the rest are counted."""

_LONGEST: Final = 200
"""Characters of one: an application chooses the names of its threads."""


def examine(before: Before, places: Places) -> list[str]:
    """Describe what in this process would not survive a fork, with the line that made it if that was
    recorded."""
    keeping.discard()
    threads.settle_hub()
    found = [
        *threads.of_python(),
        *threads.greenlets(),
        *threads.native(),
        *keeping.children(),
        *keeping.interpreters(),
        *descriptors.find(before.descriptors, threads.of_hub()),
        *memory.find(before.mappings),
        *keeping.timers(),
    ]
    return _summed(_words(found, places))


def _summed(said: Iterable[str]) -> list[str]:
    """Each text once, with how often it was found."""
    counts = Counter(said)
    named = [what[:_LONGEST] + (f" ({n} of them)" if n > 1 else "") for what, n in counts.items()]
    return named[:_MOST] + ([f"{len(named) - _MOST} more"] if len(named) > _MOST else [])


def _words(found: Iterable[Hazard], places: Places) -> Iterator[str]:
    """`a pipe made at shop/tools.py:12`, or by the variable that holds it, or as it is."""
    variables: Variables | None = None
    for each in found:
        place = places.of(each.keys)
        if place is not None:
            yield f"{each.what} {each.verb} at {place}"
            continue
        variables = variables or Variables()
        holder = variables.holder(each)
        yield f"{each.what} held by {holder}" if holder else each.what + each.otherwise
