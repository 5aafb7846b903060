"""How long a request is expected to take: the moving average of its kind, a method and a group of paths.

Learned from requests that take long, from a sample of the others, and from all while requests wait: where
nothing waits it costs next to nothing. A kind that is not known yet comes in the middle: it passes what takes
as long as the average, and what is known to be quick passes it. The number of kinds is bounded, all others
together are one.

Called from any thread. Times are monotonic ns.
"""

from __future__ import annotations

from typing import Final

from superwsgi import unpatched
from superwsgi.http.request.head import Request
from superwsgi.http.request.path_groups import asked_kind
from superwsgi.worker.connection.alarm import NEVER, SECOND
from superwsgi.worker.queue.shedding import WaitingLine

KINDS: Final = 256
OTHER: Final = "other"

_KEPT: Final = 60 * SECOND
_LITTLE: Final = SECOND // 1000
"""When all places are taken, one is given to a newcomer that has not been asked for so long, or else one of a
kind that takes little: no longer than this, or than an unknown one is expected to take. So an attacker who
makes up paths can take places, but not those of slow pages that are in use, and to forget a quick one costs
little."""

_MIDDLE: Final = 8
"""An unknown kind is expected to take this part of the average."""

LATELY: Final = SECOND
"""Ns for which the shortest of those that have come is remembered."""

_WEIGHT: Final = 8
_WEIGHT_OF_ALL: Final = 64
"""A call moves the average of its kind, and that of all, by the eighth and the sixty-fourth part."""


def kind_of(request: Request) -> str:
    """The name of its kind. The path is as the client spelled it: the application may shift or drop it in the
    environ."""
    return asked_kind(request.method, request.target)


class Kind:
    """What is known of one: `expected` ns, 0 if nothing is; `used` when it was last asked for; its requests
    wait in `line`."""

    __slots__ = ("expected", "line", "name", "used")

    def __init__(self, name: str, now: int) -> None:
        self.name = name
        self.expected = 0
        self.used = now
        self.line = WaitingLine()


class Expectations:
    """Of all kinds, by name."""

    def __init__(self) -> None:
        self._lock = unpatched.shared_lock()
        self._kinds: dict[str, Kind] = {}  # the one not asked for longest first
        self._other = Kind(OTHER, 0)
        self._average = 0
        self._short = NEVER
        self._short_until = 0

    def kind(self, name: str, now: int) -> Kind:
        """The kind of a request that has come, by its name: its own, or the one of all others."""
        with self._lock:
            kind = self._kinds.pop(name, None) or self._newcomer(name, now)
            kind.used = now
            if kind is not self._other:
                self._kinds[name] = kind
            if kind.expected:
                self._note(kind.expected, now)
            return kind

    def expected(self, kind: Kind) -> int:
        return kind.expected or self._average // _MIDDLE

    def learn(self, kind: Kind, took: int) -> None:
        with self._lock:
            kind.expected += (took - kind.expected) // _WEIGHT if kind.expected else took
            self._average += (took - self._average) // _WEIGHT_OF_ALL if self._average else took

    def shortest_lately(self, now: int) -> int:
        """The shortest expectation of a request that has come lately, NEVER if none has."""
        return self._short if now < self._short_until else NEVER

    def _newcomer(self, name: str, now: int) -> Kind:
        if len(self._kinds) >= KINDS:
            leaving = self._dispensable(now)
            if leaving is None:
                return self._other
            del self._kinds[leaving.name]
        return Kind(name, now)

    def _dispensable(self, now: int) -> Kind | None:
        little = max(_LITTLE, self._average // _MIDDLE)
        for kind in self._kinds.values():
            if kind.used <= now - _KEPT or 0 < kind.expected <= little:
                return kind
        return None

    def _note(self, expected: int, now: int) -> None:
        """Remember the shortest of those that come for a second; then the next that comes is the shortest."""
        if expected <= self._short or now >= self._short_until:
            self._short = expected
            self._short_until = now + LATELY
