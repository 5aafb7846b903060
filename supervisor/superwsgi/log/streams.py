"""What applications write to `wsgi.errors`: threads write at the same time, and lines in parts. Here they
become whole lines; what becomes of a line is up to the error log. Nothing here raises, whatever is written.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Final, cast

from superwsgi.log.spelling import plain_text

WSGI_ERRORS: Final = "wsgi.errors"

_LONGEST: Final = 64 << 10
"""Characters of a line that are kept for its end to come; more go out as they are."""


class Lines:
    """The lines of all streams of a process. An unfinished one is kept, for each stream and thread on its
    own, until its newline, `flush` or the end of the request, so that threads do not mix their lines.

    `begun` has the unfinished ones; `say` is called with a stream's name and whole lines.
    """

    __slots__ = ("_say", "begun")

    def __init__(self, say: Callable[[str, str], object]) -> None:
        self._say = say
        self.begun: dict[tuple[int, str], str] = {}  # by thread and stream

    def write(self, stream: str, text: str) -> None:
        key = threading.get_ident(), stream
        line = self.begun.pop(key, "") + text
        end = line.rfind("\n") + 1
        if len(line) - end > _LONGEST:
            end = len(line)
        if end < len(line):
            self.begun[key] = line[end:]
        if end:
            self._say(stream, line[:end])

    def flush(self, stream: str) -> None:
        """What the calling thread has begun in a stream."""
        rest = self.begun.pop((threading.get_ident(), stream), "")
        if rest:
            self._say(stream, rest)

    def end_request(self) -> None:
        """What the calling thread has begun in any stream."""
        here = threading.get_ident()
        for stream in [stream for thread, stream in [*self.begun] if thread == here]:
            self.flush(stream)

    def flush_all(self) -> None:
        """At the end of the process: the unfinished lines of all threads."""
        while self.begun:
            (_, stream), rest = self.begun.popitem()
            self._say(stream, rest)


class ErrorStream(io.TextIOBase):
    """`wsgi.errors`."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def writable(self) -> bool:
        return True

    def write(self, text: object, /) -> int:
        said = _text(text)
        self._lines.write(WSGI_ERRORS, said)
        return len(said)

    def flush(self) -> None:
        self._lines.flush(WSGI_ERRORS)

    def close(self) -> None:
        """An application cannot close the server's stream: this only flushes."""
        self.flush()


def _text(said: object) -> str:
    """As a str and nothing else: a subclass (an enum's member, Django's SafeString) may spell itself in
    another way, and change what it is joined to."""
    return "".join((cast(str, said),)) if issubclass(type(said), str) else plain_text(said)
