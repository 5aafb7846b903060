"""Kinds of requests that are not run for a while: they are suspected of ending workers (master/suspects/).

The master says which ones and until when, so that it need not live for a quarantine to end. A kind is a
method and a group of paths, as the application sees them: served_kind() of path_groups.py. A path that may
mean another one to somebody (http/request/rules.py) is refused with that: so nobody goes on by another
spelling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from superwsgi.http.errors import HttpError
from superwsgi.http.request.head import Request
from superwsgi.http.request.path_groups import path_group, path_of, served_group
from superwsgi.http.request.rules import readings
from superwsgi.worker.connection.alarm import SECOND

REASON: Final = "its kind of request is in quarantine, suspected of ending workers"


class RefusedKinds:
    """Asked by any thread; `kinds` are replaced as a whole, and each refusal is counted by `count`. Times are
    monotonic ns."""

    def __init__(self, count: Callable[[], None]) -> None:
        self.kinds: dict[str, int] = {}  # until when, by name
        self._count = count

    def put(self, kinds: Mapping[str, float]) -> None:
        """From now on it is these, each until a time in monotonic seconds."""
        self.kinds = {name: int(until * SECOND) for name, until in kinds.items()}

    def refusal(self, request: Request, now: int) -> HttpError | None:
        """What its client is answered; None if it may run."""
        kinds = self.kinds
        until = max([kinds.get(f"{request.method} {group}", 0) for group in _meant(request.origin)])
        if until <= now:
            return None
        self._count()
        return HttpError(503, REASON, (until - now) // SECOND + 1)


def _meant(target: bytes) -> Iterator[str]:
    """The groups of all that it may mean: also with so many escapes that the scoreboard has a part of it."""
    yield served_group(target)
    path = unquote_to_bytes(path_of(target)).decode("latin-1")
    for each in readings(path) or ():
        yield path_group(each)
