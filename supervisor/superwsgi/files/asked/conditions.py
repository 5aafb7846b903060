"""What a request asks of a file: only if it has changed, only a part of it (RFC 9110 sections 13 and 14).

Fields are compared as they come, as nearly all of them are copies of what was sent.
"""

from __future__ import annotations

import os
import re
import time
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

from superwsgi.apps.types import Environ

_TAG: Final = re.compile(r'(?:W/)?("[^"]*")')
_RANGE: Final = re.compile(r"bytes=[ \t]*([0-9]{0,20})[ \t]*-[ \t]*([0-9]{0,20})[ \t]*", re.IGNORECASE)


class Range(NamedTuple):
    """Bytes `first` to `last`, both included."""

    first: int
    last: int


NOWHERE: Final = Range(-1, -1)
"""One that has none of the file's bytes."""

CHANGED: Final = 412
UNCHANGED: Final = 304


class Validators(NamedTuple):
    """`tag` is an ETag, and `date` a Last-Modified, as the response has them; empty where it has none."""

    tag: str
    date: str


_TICK: Final = 20 * 10**6
_SECOND: Final = 10**9


def tag_by_time(status: os.stat_result, coding: str = "") -> str:
    """An ETag of a file's time and size. Within a tick of its file system's clock a file can change again
    without either showing (4 to 10 ms; FAT's is 2 s long): until that is over, no tag comes twice."""
    now, changed = time.time_ns(), status.st_mtime_ns
    tick = _TICK if changed % _SECOND else 2 * _SECOND
    fresh = f"-{now:x}" if abs(now - changed) < tick else ""
    suffix = f"-{coding}" if coding else ""
    return f'"{changed:x}-{status.st_size:x}{fresh}{suffix}"'


def precondition(environ: Environ, validators: Validators) -> int:
    """The status to answer with in the place of the file; 0 for none: RFC 9110 section 13.2.2."""
    match = environ.get("HTTP_IF_MATCH")
    if match is not None:
        if not _has_tag(match, validators.tag, weak=False):
            return CHANGED
    elif _is_before(environ.get("HTTP_IF_UNMODIFIED_SINCE"), validators.date):
        return CHANGED
    none_match = environ.get("HTTP_IF_NONE_MATCH")
    if none_match is not None:
        return UNCHANGED if _has_tag(none_match, validators.tag, weak=True) else 0
    return UNCHANGED if _is_not_after(validators.date, environ.get("HTTP_IF_MODIFIED_SINCE")) else 0


def wanted_range(environ: Environ, size: int, validators: Validators) -> Range | None:
    """What of the file is wanted; None for all of it, which also answers several ranges, or nonsense."""
    said = _RANGE.fullmatch(str(environ.get("HTTP_RANGE", "")).strip())
    if said is None or not _is_still_that(environ.get("HTTP_IF_RANGE"), validators):
        return None
    first, last = said[1], said[2]
    if not first:
        if not last:
            return None
        count = min(int(last), size)
        return Range(size - count, size - 1) if count else NOWHERE
    if last and int(last) < int(first):
        return None
    start = int(first)
    return Range(start, min(int(last or size), size - 1)) if start < size else NOWHERE


def _is_still_that(said: Any, validators: Validators) -> bool:
    """If-Range: whether the file is the one that the client has a part of (RFC 9110 section 13.1.5)."""
    if said is None:
        return True
    text = str(said).strip()
    return bool(text) and text in (validators.date, "" if validators.tag.startswith("W/") else validators.tag)


def _has_tag(said: Any, tag: str, *, weak: bool) -> bool:
    text = str(said).strip()
    if text == "*":
        return True
    if not tag or (tag.startswith("W/") and not weak):
        return False
    bare = tag.removeprefix("W/")
    return any(found[1] == bare and (weak or found[0] == bare) for found in _TAG.finditer(text))


def _is_before(said: Any, date: str) -> bool:
    """Whether the file has changed since that date; no if either is none."""
    then, now = _seconds(said), _seconds(date)
    return then is not None and now is not None and then < now


def _is_not_after(date: str, said: Any) -> bool:
    """Whether the file has not changed since that date."""
    if said is None or not date:
        return False
    if said == date:
        return True
    then, now = _seconds(said), _seconds(date)
    return then is not None and now is not None and now <= then


def _seconds(date: Any) -> float | None:
    try:
        return parsedate_to_datetime(str(date)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None
