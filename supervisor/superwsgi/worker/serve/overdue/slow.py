"""Slow requests: those in which the application has given no sign of life for `log.slow`, or for as long as
their rule in `paths` says. The log tells of each with its stack, and again after twice and four times as
long, unless the deadline comes first.

Found by deadlines.py, in the polling thread. Many may be slow at once, each time for the same reason: equal
stacks are written once, and beyond so many lines in a while the rest is only counted. Times are monotonic ns.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from superwsgi.config.schema import Site
from superwsgi.http.request.trace import described
from superwsgi.http.response.exchange import Exchange
from superwsgi.log.error import ErrorLog
from superwsgi.log.spelling import duration
from superwsgi.worker.connection.alarm import NEVER, SECOND, deadline_after
from superwsgi.worker.queue.expectations import kind_of
from superwsgi.worker.threads.thread import WorkerThread

TIMES: Final = (1, 2, 4)
"""After how many times `log.slow` a request is told of."""

MOST: Final = 20
WHILE: Final = 10 * SECOND
"""So many lines at most in so long a while."""

_MANY: Final = f"more than {MOST} in {WHILE // SECOND}s"

_KINDS: Final = 5
"""How many kinds of requests are named of those without a line."""


@dataclass(frozen=True)
class _Noted:
    """A slow request that is to be told of; `silent` since the application's last sign of life, ns."""

    thread: WorkerThread
    exchange: Exchange
    silent: int

    def stack(self) -> str:
        """Empty if the thread has just come back."""
        connection = self.thread.connection
        still = connection is not None and connection.exchange is self.exchange
        return self.thread.stack() if still else ""


class SlowRequests:
    """`note` each thread that is looked at, then `tell`."""

    def __init__(self, errors: ErrorLog, site: Site) -> None:
        self._errors = errors
        self._after = deadline_after(site.log.slow)
        self._timeout = site.timeouts.request
        self._told: dict[int, tuple[int, int]] = {}  # by thread: when its request began, how often told
        self._noted: list[_Noted] = []
        self._until = 0  # the end of the while
        self._stacks: dict[str, str] = {}  # written in it: the id of the request
        self._left = MOST  # lines in it
        self._untold: Counter[str] = Counter()  # by kind

    def note(self, thread: WorkerThread, exchange: Exchange, silent: int, now: int) -> int:
        """The application has been silent for so long in this request; returns for how long it has to be for
        the next look."""
        rule = exchange.request.rule
        after = self._after if rule is None else rule.slow
        if after == NEVER:
            return NEVER
        began, told = self._told.get(thread.number, (0, 0))
        told = told if began == exchange.began else 0
        reached = sum([silent >= times * after for times in TIMES])
        if reached > told:
            self._noted.append(_Noted(thread, exchange, silent))
            self._told[thread.number] = exchange.began, reached
        reached = max(reached, told)
        return TIMES[reached] * after if reached < len(TIMES) else NEVER

    def tell(self, now: int) -> int:
        """Log what was noted, the longest first; returns when to do so again."""
        if self._until <= now:
            self.tell_rest()
            self._until, self._left = now + WHILE, MOST
            self._stacks.clear()
        if self._noted:
            noted, self._noted = sorted(self._noted, key=_silence, reverse=True), []
            for each in noted[: self._left]:
                self._say(each, now)
            self._untold.update([kind_of(each.exchange.request) for each in noted[self._left :]])
            self._left -= min(self._left, len(noted))
        return self._until if self._untold else NEVER

    def tell_rest(self) -> None:
        """Log how many there was no line for."""
        if self._untold:
            of = ", ".join([f"{kind} {times}" for kind, times in self._untold.most_common(_KINDS)])
            times = sum(self._untold.values())
            self._errors.warning("slow requests", times=times, of=of, reason=_MANY, next="as those above")
            self._untold.clear()

    def _say(self, noted: _Noted, now: int) -> None:
        stack, request = noted.stack(), noted.exchange.request
        fields: dict[str, object] = {
            **described(request),
            "seconds": round((now - noted.exchange.began) / SECOND, 1),
        }
        if noted.silent < now - noted.exchange.began:
            fields["silent"] = round(noted.silent / SECOND, 1)
        if stack and self._stacks.setdefault(stack, request.id) != request.id:
            fields["stack"] = f"as of request {self._stacks[stack]}"
            stack = ""
        rule = request.rule
        timeout, key = (self._timeout, "timeouts.request")
        if rule is not None:
            timeout, key = rule.request / SECOND, rule.request_key
        fields["next"] = f"ended after {duration(timeout)} of silence ({key})"
        self._errors.warning("slow request", stack, **fields)


def _silence(noted: _Noted) -> int:
    return noted.silent
