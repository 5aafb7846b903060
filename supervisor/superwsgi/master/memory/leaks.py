"""Which requests make workers grow, by what these have found themselves (worker/memory/): who is believed,
what is logged of it, and how it is spelled.

A leak is logged, and shown in status. What grows a worker, but may be a cache that fills, is only named where
it does not matter: as the reason why its worker has reached a limit, while it still grows.

Application code could say anything in a worker's stead. So no more is believed than the worker has grown
by, nor for longer than it has served, and of what is believed nothing follows but words.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Final

from superwsgi.log.error import ErrorLog
from superwsgi.log.spelling import size
from superwsgi.master.processes.handles import WorkerHandle
from superwsgi.messages import Grows, LeakingKind
from superwsgi.snapshot import LeakStatus

AGAIN: Final = 3600.0
"""Seconds in which the same kind of requests is not logged again, whichever worker it makes grow."""

KINDS: Final = 200
"""That are remembered for it; more than that nobody could have named honestly within AGAIN."""

_DAY: Final = 24 * 3600.0


class Leaks:
    """What has been logged of them, for all workers."""

    def __init__(self, errors: ErrorLog) -> None:
        self._errors = errors
        self._said: dict[str, float] = {}  # when, by kind

    def heard(self, worker: WorkerHandle, word: Grows, soft: int | None, now: float) -> None:
        """A worker names them; `soft` is its limit in bytes, if there is one."""
        worker.leaks = [
            _status(one, min(one.seconds, worker.served(now)))
            for one in word.leaks
            if worker.can_have_grown(one.each * one.requests)
        ]
        for one in worker.leaks:
            if one.proven and self._is_news(one.kind, now):
                self._tell(worker, one, soft)

    def _is_news(self, kind: str, now: float) -> bool:
        self._said = {kind: when for kind, when in self._said.items() if now - when < AGAIN}
        if kind in self._said or len(self._said) >= KINDS:
            return False
        self._said[kind] = now
        return True

    def _tell(self, worker: WorkerHandle, one: LeakStatus, soft: int | None) -> None:
        until = "set memory.soft" if soft is None else f"it is recycled at memory.soft ({size(soft)})"
        self._errors.bind(**worker.who()).warning(
            "leak suspected",
            kind=one.kind,
            reason=spell([one]),
            requests=one.requests,
            next=f"{until}; to see what is kept, compare tracemalloc snapshots around such requests",
        )


def _status(one: LeakingKind, seconds: float) -> LeakStatus:
    return LeakStatus(one.kind, one.each, one.requests, time.time() - seconds, one.proven)


def spell(found: list[LeakStatus]) -> str:
    """`grown 1.4M a request by GET /report since 14:02`, of the worst; empty where nobody is to blame.
    The time is UTC, as in the log."""
    if not found:
        return ""
    worst = found[0]
    return f"grown {size(worst.each)} a request by {worst.kind} since {_clock(worst.since)}"


def _clock(when: float) -> str:
    form = "%H:%M" if time.time() - when < _DAY else "%Y-%m-%d %H:%M"
    return datetime.fromtimestamp(when, timezone.utc).strftime(form)
