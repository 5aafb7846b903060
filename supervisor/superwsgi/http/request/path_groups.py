"""Groups of paths: what names one of many things (a number, an id, a hash, a date) is `*`.

    /orders/1234/items/7         /orders/*/items/*
    /static/app.3f2a91c0.js      /static/*
    /v1/users/me                 /v1/users/me

Also where a path was cut off, as in the scoreboard.
"""

from __future__ import annotations

import re
from typing import Final

DEPTH: Final = 8
"""Segments that tell groups apart; what is deeper is one more `*`."""

LONGEST: Final = 40
"""Characters of a segment that may be a word."""

_ESCAPES: Final = re.compile("%[0-9A-Fa-f]{2}")

_WORD: Final = re.compile(r"[^0-9]*|v[0-9]{1,2}|[A-Za-z]{2,}[0-9]")
"""Without digits, a version as in `/v2`, or a name with one digit at its end as in `/oauth2`."""


def path_group(path: str) -> str:
    """The group of a path without its query."""
    segments = path.split("/")
    kept = [segment if _is_word(segment) else "*" for segment in segments[: DEPTH + 1]]
    if len(segments) > DEPTH + 1:
        kept.append("*")
    return "/".join(kept)


def _is_word(segment: str) -> bool:
    return len(segment) <= LONGEST and _WORD.fullmatch(_ESCAPES.sub("", segment)) is not None
