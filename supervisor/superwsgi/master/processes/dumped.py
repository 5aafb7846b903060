"""What faulthandler writes, as data. It has no end mark, is in the order of the interpreter, and anything may
be missing or stand in between: it was written by a process that is in trouble, or by an application.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from superwsgi.log.frames import is_library

MOST_THREADS: Final = 100
"""faulthandler stops there, and says `...`."""

_FATAL: Final = re.compile(r"^Fatal Python error: (.+)", re.MULTILINE)
_THREAD: Final = re.compile(
    r"^(Current thread|Thread) 0x([0-9a-f]+)(?: \[(.*)\])? \(most recent call first\):.*$"
)

_FRAME: Final = re.compile(r'File "(.+)", line (\d+) in (.+)')


@dataclass(frozen=True, slots=True)
class DumpedThread:
    """A thread by its identifier (threading.get_ident), and its frames, outermost first, as lines such as
    `File "/srv/shop/views.py", line 7 in report`. `current`: it held the GIL, or caused the error. `name` is
    empty before Python 3.14."""

    ident: int
    current: bool
    name: str
    frames: tuple[str, ...]


def fatal_error(text: str) -> str | None:
    """`Segmentation fault`, if the interpreter has ended with such an error."""
    found = _FATAL.search(text)
    return None if found is None else found[1].strip()


def what(text: str) -> str:
    """`Segmentation fault in crash (/srv/app.py, line 7)`: the error, and where the application was."""
    error = fatal_error(text) or "fatal error"
    frames = [frame for thread in threads(text) if thread.current for frame in thread.frames]
    found = [match for match in map(_FRAME.match, reversed(frames)) if match]
    own = next((match for match in found if not is_library(match[1])), None)
    return error if own is None else f"{error} in {own[3]} ({own[1]}, line {own[2]})"


def is_of_watchdog(text: str) -> bool:
    """Whether it was written because of faulthandler.dump_traceback_later."""
    return text.startswith("Timeout (")


def threads(text: str) -> Iterator[DumpedThread]:
    """Those of a dump, in its order."""
    head: re.Match[str] | None = None
    frames: list[str] = []
    for line in text.splitlines():
        found = _THREAD.match(line)
        if head is not None and (found or not line.strip() or not line.startswith(" ")):
            yield _thread(head, frames)
            head = None
        if found:
            head, frames = found, []
        elif head is not None:
            frames.append(line.strip())
    if head is not None:
        yield _thread(head, frames)


def shortened(text: str, limit: int) -> str:
    """`text` in at most `limit` characters: of a longer one the beginning, and what can be had of the current
    thread, which is what matters, and anywhere among the others."""
    if len(text) <= limit:
        return text
    at = text.find("\nCurrent thread 0x") + 1
    room = limit - len(_CUT)
    if at + 1024 < room:
        return text[:room] + _CUT
    head = text[: min(text.find("\n") + 1, 1024)]
    return head + _CUT + text[at : at + room - len(head)]


_CUT: Final = "\n... (cut short)\n"


def _thread(head: re.Match[str], frames: list[str]) -> DumpedThread:
    return DumpedThread(
        ident=int(head[2], 16),
        current=head[1] == "Current thread",
        name=head[3] or "",
        frames=tuple(reversed(frames)),
    )
