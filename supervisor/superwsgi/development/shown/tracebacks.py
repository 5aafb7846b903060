"""Tracebacks for people: the lines of a text as Python writes them, told apart by what they are, so that the
terminal can colour them and the browser's page can set them. Frames of the project stand out, since the
error is there more often than in a library.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

from superwsgi.log.frames import is_above, is_library
from superwsgi.log.spelling import printable_lines


class TracebackPart(Enum):
    """What a line of a traceback is."""

    OWN = "own"  # a frame of the project
    LIBRARY = "library"  # any other frame
    CODE = "code"  # the source of a frame of the project
    ERROR = "error"  # the exception
    TEXT = "text"  # all else


class TracebackLine(NamedTuple):
    part: TracebackPart
    text: str


_FRAME: Final = re.compile(r'^(?:  \| |\s)*  File "(?P<file>[^"]+)", line \d+')
_ERROR: Final = re.compile(r"^[\s|]*[\w.]*[A-Z]\w*(?:: |$)")

ALARM: Final = "1;31"
"""What has gone wrong, in SGR parameters (ECMA-48 section 8.3.117)."""

_COLOURS: Final = {
    TracebackPart.OWN: "36",
    TracebackPart.LIBRARY: "2",
    TracebackPart.CODE: "1",
    TracebackPart.ERROR: ALARM,
    TracebackPart.TEXT: "",
}


def parts(traceback: str) -> Iterator[TracebackLine]:
    """Its lines; the source below a frame belongs to it."""
    above = TracebackPart.TEXT
    for text in printable_lines(traceback):
        frame = _FRAME.match(text)
        if frame is not None:
            above = TracebackPart.LIBRARY if is_library(frame["file"]) else TracebackPart.OWN
            yield TracebackLine(above, text)
        elif text.startswith("    ") and above in (TracebackPart.OWN, TracebackPart.LIBRARY):
            yield TracebackLine(
                TracebackPart.CODE if above is TracebackPart.OWN else TracebackPart.LIBRARY, text
            )
        else:
            above = TracebackPart.TEXT
            yield TracebackLine(TracebackPart.ERROR if _ERROR.match(text) else TracebackPart.TEXT, text)


def of_application(stacks: str) -> str:
    """What a hanging process writes of a thread, from the last call on, as far as the application goes."""
    kept: list[str] = []
    for line in stacks.splitlines():
        frame = _FRAME.match(line)
        if frame is not None and is_above(frame["file"]):
            break
        if frame is None or "importlib" not in frame["file"]:
            kept.append(line)
    return "\n".join(kept)


def coloured(traceback: str, *, colours: bool) -> str:
    """The text for a terminal, each line ended."""
    return "".join(f"{paint(line.text, _COLOURS[line.part], colours)}\n" for line in parts(traceback))


def paint(text: str, parameters: str, colours: bool) -> str:
    """Text in a colour, where there are any."""
    return f"\x1b[{parameters}m{text}\x1b[0m" if colours and parameters else text
