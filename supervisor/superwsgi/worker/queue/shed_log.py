"""That requests are shed, as the log tells it: once when it begins, with which ones, and once when it is
over.

Both together come at most once in SETTLES + CALM. Times are monotonic ns.
"""

from __future__ import annotations

from typing import Final

from superwsgi import unpatched
from superwsgi.log.error import ErrorLog
from superwsgi.log.spelling import duration, share
from superwsgi.worker.connection.alarm import NEVER, SECOND, Alarm

SETTLES: Final = SECOND
"""After the first one was refused: by then it shows which ones are."""

CALM: Final = 5 * SECOND
"""For so long nobody must have been refused before it is over."""

NAMED: Final = 3
_KINDS: Final = 100
_OTHERS: Final = "others"

_REASON: Final = "none that was run lately had waited less, and no thread or worker can be added"
_NEXT: Final = "503 for those that would be later; raise `threads` or `workers`, or make these pages quicker"


class ShedLog:
    """`limit` is limits.queue_age, in seconds. `refused` from any thread, `look` from the poller."""

    def __init__(self, errors: ErrorLog, alarm: Alarm, limit: float) -> None:
        self._errors = errors
        self._alarm = alarm
        self._limit = limit
        self._lock = unpatched.shared_lock()
        self._kinds: dict[str, int] = {}  # since it began
        self._began = self._last = 0
        self._said = False

    def refused(self, kind: str, now: int) -> None:
        """A request of that kind."""
        with self._lock:
            if not self._kinds:
                self._began = now
                self._alarm.no_later_than(now + SETTLES)
            self._last = now
            name = kind if kind in self._kinds or len(self._kinds) < _KINDS else _OTHERS
            self._kinds[name] = self._kinds.get(name, 0) + 1

    def look(self, now: int) -> int:
        """Say what is to be said; returns when to look again."""
        if not self._kinds:
            return NEVER
        if not self._said:
            if now < self._began + SETTLES:
                return self._began + SETTLES
            self._begin()
        if now < self._last + CALM:
            return self._last + CALM
        self._end()
        return NEVER

    def _begin(self) -> None:
        self._said = True
        with self._lock:
            total, kinds = sum(self._kinds.values()), self._named()
        self._errors.warning(
            "requests shed",
            kinds=kinds,
            refused=total,
            reason=_REASON,
            limit=f"limits.queue_age {duration(self._limit)}",
            next=_NEXT,
        )

    def _end(self) -> None:
        self._said = False
        with self._lock:
            total, kinds = sum(self._kinds.values()), self._named()
            self._kinds = {}
        lasted = duration((self._last - self._began) / SECOND)
        self._errors.info("requests no longer shed", lasted=lasted, refused=total, kinds=kinds)

    def _named(self) -> str:
        """`GET /reports/* 75 %`: those of which most were refused, and the rest."""
        ranked = sorted([(count, kind) for kind, count in self._kinds.items()], reverse=True)
        total = sum(self._kinds.values())
        told = [f"{kind} {share(count, total)}" for count, kind in ranked[:NAMED]]
        rest = sum([count for count, _ in ranked[NAMED:]])
        return ", ".join([*told, f"{_OTHERS} {share(rest, total)}"] if rest else told)
