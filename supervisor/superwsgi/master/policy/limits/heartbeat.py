"""What follows from a worker's silence. Pure numbers: the scoreboard is read elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from superwsgi.board.scoreboard import BEAT, IDLE_BEAT
from superwsgi.config.schema import Site
from superwsgi.http.request.path_groups import path_of
from superwsgi.log.spelling import duration
from superwsgi.master.policy.actions import DumpWorker, KillWorker
from superwsgi.master.policy.causes import Cause

BEATS: Final = 3
"""How many may be missed on a busy machine."""

_HELD: Final = "something holds the GIL"
_STALLED: Final = "a greenlet does not let others run (green), or something holds the GIL"

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


def given(site: Site, targets: Iterable[str]) -> float:
    """Seconds that the site gives one of these requests: timeouts.request, or what a rule in `paths` has for
    one of them, if that is more. Their hosts are not known here: the rules of all hosts count.
    """
    paths = [f"{unquote(path_of(target)).rstrip('/')}/" for target in targets]
    most = site.timeouts.request
    for key, rule in site.paths.items():
        below = f"/{key.partition('/')[2].rstrip('/')}/".replace("//", "/")
        if rule.request is not None and any(path.startswith(below) for path in paths):
            most = max(most, rule.request)
    return most


def silent(beat: float, busy: bool, ready_at: float, now: float) -> float | None:
    """Seconds since the last heartbeat, if that is longer than it should be; else None. Too short a time to
    end a worker for, but its clients wait."""
    seconds = now - max(beat, ready_at)
    return seconds if seconds > BEATS * (BEAT if busy else IDLE_BEAT) else None


def decide(
    generation: int,
    worker: int,
    *,
    silent: float,
    limit: float,
    dumped_ago: float | None,
    green: bool = False,
) -> DumpWorker | KillWorker | None:
    """First ask for its stacks, then end it. `silent` is the age of its last heartbeat, `dumped_ago` that of
    the request for its stacks, if there was one; `green`: it runs greenlets."""
    if silent <= limit or (dumped_ago is not None and dumped_ago < SECOND_LOOK):
        return None
    reason = f"no heartbeat for {duration(silent)}: {_STALLED if green else _HELD}"
    if dumped_ago is None:
        return DumpWorker(generation, worker, reason)
    return KillWorker(generation, worker, reason, Cause.HANG)
