"""Threads that were written off: their requests have been ended in their stead. One that returns ends by
itself. One that does not, or that computes on and takes the GIL from all others, is a reason to replace the
worker; so are many whose clients have left (see left.py). Only the polling thread looks at them. Times are
monotonic ns.
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
    where the kernel does not tell. `due` is when it is looked at, NEVER once that has had its consequence.
    `left`: its client had left, and it waited."""

    __slots__ = ("awake", "began", "due", "hope", "left", "request", "since")

    def __init__(
        self, request: Request, began: int, now: int, hope: int, awake: float | None, left: bool
    ) -> None:
        self.request = request
        self.began = began
        self.since = now
        self.hope = hope
        self.awake = awake
        self.left = left
        self.due = min(now + LOOK, hope)


class LostThreads:
    """Each is given `patience` to return, or as long again as its rule allows if that is more. `on_recycle`
    is told of one that does not, or computes on."""

    def __init__(self, patience: int, on_recycle: Callable[[Recycle], None]) -> None:
        self.threads: Final[dict[WorkerThread, _Lost]] = {}
        self._patience = patience
        self._on_recycle = on_recycle
        self._told = False  # that they are too many

    def add(self, thread: WorkerThread, request: Request, began: int, now: int) -> None:
        """Its request began at `began`."""
        hope = now + self._patience_with(request)
        self.threads[thread] = _Lost(request, began, now, hope, thread.awake(), False)

    def add_left(self, thread: WorkerThread, request: Request, began: int, overdue: int, now: int) -> None:
        """The client of its request has left, which would be `overdue` at that time."""
        hope = min(NEVER, overdue + self._patience_with(request))
        self.threads[thread] = _Lost(request, began, now, hope, None, True)

    @property
    def left(self) -> int:
        """How many there are whose clients have left."""
        return sum([lost.left for lost in self.threads.values()])

    def are_too_many(self, now: int) -> None:
        """As many as may be there wait for events that nobody will see, and keep what they have."""
        if not self._told:
            self._told = True
            left = [lost for lost in self.threads.values() if lost.left]
            threads = "1 thread waits" if len(left) == 1 else f"{len(left)} threads wait"
            reason = f"{threads} for events of streams whose clients have left"
            self._on_recycle(Recycle(reason, _stuck(min(left, key=_since), now)))

    def _patience_with(self, request: Request) -> int:
        rule = request.rule
        return self._patience if rule is None else max(self._patience, rule.request)

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
        if share(lost.awake, thread.awake(), now - lost.since) > COMPUTES:
            self._give_up(lost, "goes on computing", now)
        elif lost.hope <= now:
            self._give_up(lost, "does not come back", now)
        else:
            lost.due = min(now + LOOK, lost.hope)

    def _give_up(self, lost: _Lost, how: str, now: int) -> None:
        lost.due = NEVER
        stuck = _stuck(lost, now)
        # Without the query: the reason stands in status and on the page, where no query does.
        told = f"{stuck.method} {stuck.target.partition('?')[0]} {stuck.id}"[:VALUE_LIMIT]
        self._on_recycle(Recycle(f"a stuck thread {how}: {told} for {duration(stuck.seconds)}", stuck))


def _began(item: tuple[WorkerThread, _Lost]) -> int:
    return item[1].began


def _since(lost: _Lost) -> int:
    return lost.since


def _stuck(lost: _Lost, now: int) -> Stuck:
    request, seconds = lost.request, (now - lost.began) / SECOND
    target = request.target.decode("latin-1")[:VALUE_LIMIT]
    return Stuck(request.method[:VALUE_LIMIT], target, request.id[:VALUE_LIMIT], seconds)


def share(before: float | None, awake: float | None, time: int) -> float:
    """Of so many ns, in which a thread computed that had computed so many seconds, and has now; 0 where that
    is not known."""
    if awake is None or before is None:
        return 0.0
    return (awake - before) * SECOND / time
