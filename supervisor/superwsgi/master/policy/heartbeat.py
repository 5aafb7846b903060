"""What follows from a worker's silence. Pure numbers: the scoreboard is read elsewhere."""

from __future__ import annotations

from typing import Final

from superwsgi.board.scoreboard import BEAT, IDLE_BEAT
from superwsgi.log.spelling import duration
from superwsgi.master.policy.actions import DumpWorker, KillWorker
from superwsgi.master.policy.causes import Cause

BEATS: Final = 3
"""How many may be missed on a busy machine."""

SECOND_LOOK: Final = 1.0
"""Seconds between the stacks and the end: time to write them, and for a machine that was suspended as a whole
to go on, which looks the same from here."""


def limit(request_timeout: float, *, busy: bool) -> float:
    """Seconds of silence after which a worker counts as lost; `busy`: it has a request in hand.

    An extension that computes for 20 seconds without releasing the GIL is as silent as one that never will.
    The time that any request is given, timeouts.request, tells them apart: clients wait no longer than for
    any slow request, and after that the worker cannot even answer 504, which takes the GIL too.
    """
    return max(request_timeout, BEATS * (BEAT if busy else IDLE_BEAT))


def silent(beat: float, busy: bool, ready_at: float, now: float) -> float | None:
    """Seconds since the last heartbeat, if that is longer than it should be; else None. Too short a time to
    end a worker for, but its clients wait."""
    seconds = now - max(beat, ready_at)
    return seconds if seconds > BEATS * (BEAT if busy else IDLE_BEAT) else None


def decide(
    generation: int, worker: int, *, silent: float, limit: float, dumped_ago: float | None
) -> DumpWorker | KillWorker | None:
    """First ask for its stacks, then end it. `silent` is the age of its last heartbeat, `dumped_ago` that of
    the request for its stacks, if there was one."""
    if silent <= limit or (dumped_ago is not None and dumped_ago < SECOND_LOOK):
        return None
    reason = f"no heartbeat for {duration(silent)}: something holds the GIL"
    if dumped_ago is None:
        return DumpWorker(generation, worker, reason)
    return KillWorker(generation, worker, reason, Cause.HANG)
