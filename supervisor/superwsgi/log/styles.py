"""How an event of the error log becomes lines (`log.style`): text for people, or one JSON object for a
collector.

A style takes an event and returns its lines. Whatever an event holds, an object is valid JSON, in ASCII, and
no longer than one write(2) keeps together: what has no room is cut in its middle. What applications write is
never cut, but divided beforehand: see `pieces`. Nothing is written here.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from superwsgi.log.spelling import (
    PRIORITY,
    Whole,
    below,
    encodable,
    event_line,
    journal_line,
    plain_text,
    shortened,
    spell_fields,
    spell_time,
)

NAMES: Final = {"gen": "generation", "request": "request_id"}
"""What text abbreviates has the name that it has in the access log's objects: one query finds both."""

_TRACEBACK: Final = "Traceback (most recent call last)"
_CUT: Final = "…"
_LEAST: Final = 20
"""Characters of a value that are left in any case."""

_BESIDE: Final = 1000
"""Bytes of a line for all that stands beside a text in pieces."""

_EXACT: Final = 1 << 53
"""Whole numbers from here on are another number to readers that have floats only (RFC 8259 section 6)."""


class LogEvent(NamedTuple):
    """`who` has the fields that all lines of a process begin with; `detail` is text of several lines."""

    level: str
    who: Mapping[str, object]
    what: str
    fields: Mapping[str, object]
    detail: str = ""


class Place(NamedTuple):
    """Where lines go: systemd's journal takes a priority before each; `limit` is the bytes of a line that one
    write(2) keeps together."""

    journal: bool
    limit: int


Style = Callable[[LogEvent, Place], list[bytes]]


def text(event: LogEvent, place: Place) -> list[bytes]:
    """`2026-11-22T17:20:01.123Z info    worker=2 gen=3 killed reason=memory`, its detail below, indented. The
    journal takes every line for an event, so each has a priority there."""
    level, who = event.level, spell_fields(event.who)
    if place.journal:
        lines, mark = [journal_line(level, who, event.what, event.fields)], PRIORITY[level]
    else:
        lines, mark = [event_line(time.time(), level, who, event.what, event.fields)], ""
    if event.detail:
        lines += [mark + line for line in below(event.detail)]
    return [as_it_is(line) + b"\n" for line in lines]


def as_json(event: LogEvent, place: Place) -> list[bytes]:
    """`{"time":"2026-11-22T17:20:01.123Z","level":"info","event":"killed","worker":2,"generation":3,…}`. The
    journal takes the priority off again; its message is the object."""
    said: dict[str, object] = {"time": spell_time(time.time()), "level": event.level, "event": event.what}
    for name, value in (*event.who.items(), *event.fields.items()):
        said.setdefault(NAMES.get(name, name), _value(value))  # a field is not believed to be the time
    if event.detail:
        is_traceback = event.detail.startswith(_TRACEBACK)
        said["traceback" if is_traceback else "detail"] = encodable(event.detail.rstrip("\n"))
    mark = PRIORITY[event.level].encode() if place.journal else b""
    return [mark + _within(said, place.limit - len(mark) - 1) + b"\n"]


STYLES: Final[dict[str, Style]] = {"text": text, "json": as_json}


def as_it_is(said: str) -> bytes:
    return said.encode("utf-8", "backslashreplace")


def pieces(said: str, limit: int) -> Iterator[str]:
    """A text in parts that fit a line of `limit` bytes in any style, divided after a newline where there is
    one."""
    size = max(limit - _BESIDE, _LEAST)
    for at in range(0, max(len(said), 1), size):
        yield from _halves(said[at : at + size], size)


def _halves(said: str, size: int) -> Iterator[str]:
    if len(_spelled(encodable(said))) <= size or len(said) < _LEAST:
        yield said
        return
    half = len(said) // 2
    at = said.rfind("\n", 0, half) + 1 or half
    yield from _halves(said[:at], size)
    yield from _halves(said[at:], size)


def _value(value: object) -> object:
    """Numbers, yes and no, and nothing stay what they are; all else is text, shortened as in the others."""
    if value is None or type(value) is bool:
        return value
    if type(value) is int and -_EXACT < value < _EXACT:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    return encodable(value if isinstance(value, Whole) else shortened(plain_text(value)))


def _spelled(said: object) -> bytes:
    """In ASCII: no character of a client or an application moves a terminal's cursor."""
    return json.dumps(said, separators=(",", ":")).replace("\x7f", "\\u007f").encode("ascii")


def _within(said: dict[str, object], limit: int) -> bytes:
    """The object in at most `limit` bytes: its longest text is cut until it fits."""
    line = _spelled(said)
    while len(line) > limit:
        longest, name = max((len(value), name) for name, value in said.items() if isinstance(value, str))
        if longest <= _LEAST:
            break
        said[name] = _cut(str(said[name]), len(line) - limit)
        line = _spelled(said)
    return line


def _cut(said: str, over: int) -> str:
    """Without what takes some `over` bytes in its middle: a traceback's last lines say the most."""
    spelled = len(_spelled(said))
    kept = len(said) * max(0, spelled - over - len(_spelled(_CUT))) // spelled
    kept = max(_LEAST - len(_CUT), min(kept, len(said) - len(_CUT) - 1))
    return said[: kept // 4] + _CUT + said[len(said) - (kept - kept // 4) :]
