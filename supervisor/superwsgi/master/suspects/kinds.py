"""The kind of a request in hand: a method and a group of paths, as the application sees them. Pure.

Applications can write anything on a scoreboard: what is no request has no kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from superwsgi.board.counts import InFlight
from superwsgi.http.request.path_groups import served_kind

MOST_IN_HAND: Final = 256
"""Requests of one worker that are looked at: those that began last."""

_METHOD: Final = re.compile("[A-Z-]{1,16}")
_PATH: Final = re.compile("/[!-~]*")


@lru_cache(1024)
def kind(method: str, path: str) -> str | None:
    """`GET /report/*`; None for what cannot be a request."""
    if not _METHOD.fullmatch(method) or not _PATH.fullmatch(path):
        return None
    return served_kind(method, path.encode("latin-1"))


def in_hand(requests: Iterable[InFlight]) -> dict[str, InFlight]:
    """The kinds in hand, each with the request of it that began first."""
    lately = sorted(requests, key=lambda each: each.started)[-MOST_IN_HAND:]
    found: dict[str, InFlight] = {}
    for request in lately:
        name = kind(request.method, request.path)
        if name is not None:
            found.setdefault(name, request)
    return found
