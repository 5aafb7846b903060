"""When a worker has served for long enough (`requests.age`)."""

from __future__ import annotations

from superwsgi.log.spelling import duration
from superwsgi.master.policy.actions import RecycleWorker
from superwsgi.master.policy.causes import Cause


def decide(
    generation: int, worker: int, *, served: float, limit: float, extra: float, drawn: float
) -> RecycleWorker | None:
    """Have it recycled after `limit` seconds and its part of the share `extra` of them; 0 is no limit.

    `drawn` is from 0 to 1, at random for each worker: those that were forked together would otherwise be due
    together, and be replaced in a row, by workers that are due together again. A sum, not a spread to both
    sides, as for `requests.max`: none goes before the age that the site file has.
    """
    due = limit * (1 + extra * drawn)
    if not limit or served < due:
        return None
    reason = f"requests.age: has served for {duration(served)} of {duration(due)}"
    return RecycleWorker(generation, worker, reason, Cause.REQUESTS_AGE)
