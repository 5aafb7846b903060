"""What applications write: `wsgi.errors`, and sys.stdout and sys.stderr where these are captured.

Threads write at the same time, and lines in parts: here they become whole lines. What becomes of a line is up
to the error log. Nothing here raises, whatever an application writes, and nothing can be closed.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

from superwsgi.log.spelling import plain_text

WSGI_ERRORS: Final = "wsgi.errors"

_ENCODING: Final = "utf-8"
_ERRORS: Final = "backslashreplace"

LONGEST: Final = 64 << 10
"""Bytes of a line that are kept for its end to come; more go out as they are."""


class Lines:
    """The lines of all streams of a process. An unfinished one is kept, for each stream and thread on its
    own, until its newline, `flush` or the end of the request, so that threads do not mix their lines.

    `begun` has the unfinished ones; `say` is called with a stream's name and whole lines.
    """

    __slots__ = ("_say", "begun")

    def __init__(self, say: Callable[[str, bytes], object]) -> None:
        self._say = say
        self.begun: dict[tuple[int, str], bytes] = {}  # by thread and stream

    def write(self, stream: str, data: bytes) -> None:
        key = threading.get_ident(), stream
        whole, rest = divided(self.begun.pop(key, b"") + data)
        if rest:
            self.begun[key] = rest
        if whole:
            self._say(stream, whole)

    def flush(self, stream: str) -> None:
        """What the calling thread has begun in a stream."""
        rest = self.begun.pop((threading.get_ident(), stream), b"")
        if rest:
            self._say(stream, rest)

    def end_request(self) -> None:
        """What the calling thread has begun in any stream."""
        here = threading.get_ident()
        for stream in [stream for thread, stream in [*self.begun] if thread == here]:
            self.flush(stream)

    def flush_all(self) -> None:
        """At the end of the process: the unfinished lines of all threads."""
        with suppress(KeyError):  # there is none left
            while True:
                (_, stream), rest = self.begun.popitem()
                self._say(stream, rest)


def divided(data: bytes) -> tuple[bytes, bytes]:
    """Whole lines, and the unfinished one after them."""
    end = data.rfind(b"\n") + 1
    if len(data) - end > LONGEST:
        end = len(data)
    return data[:end], data[end:]


class ErrorStream(io.TextIOBase):
    """`wsgi.errors`."""

    encoding = _ENCODING
    errors = _ERRORS

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def writable(self) -> bool:
        return True

    def write(self, text: object, /) -> int:
        said = _text(text)
        self._lines.write(WSGI_ERRORS, said.encode(_ENCODING, _ERRORS))
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


class CapturedBytes(io.BufferedIOBase):
    """`sys.stdout.buffer` or `sys.stderr.buffer` where they are captured, by its `stream`'s name. `lines` is
    changed in each process that has a copy. `fileno` is the descriptor that it stands for, for programs that
    are to write there."""

    mode = "wb"

    def __init__(self, lines: Lines, stream: str, fd: int) -> None:
        self.lines = lines
        self.name = f"<{stream}>"
        self._stream = stream
        self._fd = fd

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def write(self, data: Any, /) -> int:
        """Raises TypeError for what has no bytes, as any file does."""
        said = memoryview(data).tobytes()
        self.lines.write(self._stream, said)
        return len(said)

    def flush(self) -> None:
        self.lines.flush(self._stream)

    def close(self) -> None:
        """As for `wsgi.errors`; nor can it be closed by what an application has put around it."""
        self.flush()


def captured_text(behind: CapturedBytes) -> io.TextIOWrapper:
    """What stands in the place of sys.stdout or sys.stderr: it keeps nothing, as threads share it."""
    text = io.TextIOWrapper(behind, _ENCODING, _ERRORS, newline="\n", write_through=True)
    text.mode = "w"  # type: ignore[misc]
    return text
