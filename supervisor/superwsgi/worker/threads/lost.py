"""Threads that were written off: their requests have been ended in their stead. One that returns ends by
itself. One that does not, or that computes on and takes the GIL from all others, is a reason to replace the
worker. Only the polling thread looks at them. Times are monotonic ns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from superwsgi.http.request.head import Request
from superwsgi.log.spelling import VALUE_LIMIT, duration
from superwsgi.messages import Recycle, Stuck
from superwsgi.worker.connection.alarm import NEVER, SECOND
from superwsgi.worker.threads.thread import WorkerThread

COMPUTES: Final = 0.3
"""The share of its time, since it was written off, that a thread computes or would, had it a processor.
Beside others that want the GIL an endless loop does not get more; one that is about to return from a long
wait takes less, over the whole time."""

LOOK: Final = SECOND
"""From writing one off to the first look at that, and between two looks."""


class _Lost:
    """What was known of a thread when it was written off: `awake` are the seconds that it had computed, None
    where the kernel does not tell. `due` is when it is looked at, NEVER once that has had its consequence."""

    __slots__ = ("awake", "began", "due", "hope", "request", "since")

    def __init__(self, request: Request, began: int, now: int, hope: int, awake: float | None) -> None:
        self.request = request
        self.began = began
        self.since = now
        self.hope = hope
        self.awake = awake
        self.due = min(now + LOOK, hope)


class LostThreads:
    """Each is given `patience` to return. `on_recycle` is told of one that does not, or computes on."""

    def __init__(self, patience: int, on_recycle: Callable[[Recycle], None]) -> None:
        self.threads: Final[dict[WorkerThread, _Lost]] = {}
        self._patience = patience
        self._on_recycle = on_recycle

    def add(self, thread: WorkerThread, request: Request, began: int, now: int) -> None:
        """Its request began at `began`."""
        self.threads[thread] = _Lost(request, began, now, now + self._patience, thread.awake())

    def look(self, now: int) -> int:
        """Forget those that have returned; returns when to look again. The oldest is the first to be looked
        at, since others may wait for what it holds."""
        for thread, lost in sorted(self.threads.items(), key=_began):
            if not thread.is_alive():
                del self.threads[thread]
            elif lost.due <= now:
                self._look_at(thread, lost, now)
        return min([lost.due for lost in self.threads.values()], default=NEVER)

    def _look_at(self, thread: WorkerThread, lost: _Lost, now: int) -> None:
        if _share(lost, thread.awake(), now) > COMPUTES:
            self._give_up(lost, "goes on computing", now)
        elif lost.hope <= now:
            self._give_up(lost, "does not come back", now)
        else:
            lost.due = min(now + LOOK, lost.hope)

    def _give_up(self, lost: _Lost, how: str, now: int) -> None:
        lost.due = NEVER
        request, seconds = lost.request, (now - lost.began) / SECOND
        target = request.target.decode("latin-1")[:VALUE_LIMIT]
        stuck = Stuck(request.method[:VALUE_LIMIT], target, request.id[:VALUE_LIMIT], seconds)
        # Without the query: the reason stands in status and on the page, where no query does.
        told = f"{stuck.method} {target.partition('?')[0]} {stuck.id}"[:VALUE_LIMIT]
        self._on_recycle(Recycle(f"a stuck thread {how}: {told} for {duration(seconds)}", stuck))


def _began(item: tuple[WorkerThread, _Lost]) -> int:
    return item[1].began


def _share(lost: _Lost, awake: float | None, now: int) -> float:
    """Of the time since it was written off, in which it computed."""
    if awake is None or lost.awake is None:
        return 0.0
    return (awake - lost.awake) * SECOND / (now - lost.since)
