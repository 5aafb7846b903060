"""The error log: one line an event, who, what, what now, as `key=value`.

Written where it happens, in one write(2), by master, molds and workers into the same file. No thread
and no lock, so it may be used on both sides of a fork. It never raises, and a full pipe holds nobody up:
lines that cannot be written are counted, and the count is written when writing works again.
"""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, TextIO, cast

from superwsgi.log.files import Sink, chunks, is_journal
from superwsgi.log.frames import application_traceback
from superwsgi.log.lines import (
    LEVELS,
    PRIORITY,
    VALUE_LIMIT,
    below,
    event_line,
    journal_line,
    plain_text,
    spell_exception,
    spell_fields,
)

_PATIENCE: Final = 0.02
"""Seconds that a full pipe is given, once, before lines are dropped."""

_STDERR: Final = 2


class _Destination:
    """What all logs made from one by `bind` share."""

    __slots__ = ("dropped", "journal", "sink")

    def __init__(self, fd: int | None) -> None:
        self.sink = None if fd is None else Sink(fd)
        self.journal = fd is not None and is_journal(fd, os.environ)
        self.dropped = 0

    def reopen(self, fd: int) -> None:
        self.journal = is_journal(fd, os.environ)
        if self.sink is None:
            self.sink = Sink(fd)
        else:
            self.sink.reopen(fd)

    def line(self, level: str, who: str, event: str, fields: Mapping[str, object]) -> str:
        if self.journal:
            return journal_line(level, who, event, fields)
        return event_line(time.time(), level, who, event, fields)

    def below(self, level: str, detail: str) -> list[str]:
        """The journal takes every line for an event, so each has a priority."""
        mark = PRIORITY[level] if self.journal else ""
        return [mark + line for line in below(detail)]

    def put(self, lines: list[str], missed: Callable[[int], str]) -> None:
        """Write an event, its own line first; before it, what `missed` says of those that were dropped."""
        if self.sink is None:
            return
        if self.dropped and self._write(self.sink, [missed(self.dropped)]):
            self.dropped = 0
        if self.dropped or not self._write(self.sink, lines):
            self.dropped += 1

    def _write(self, sink: Sink, lines: list[str]) -> bool:
        encoded = [line.encode("utf-8", "backslashreplace") + b"\n" for line in lines]
        try:
            for piece in chunks(encoded, sink.unit):
                sink.write(piece, 0 if self.dropped else _PATIENCE)
        except OSError:
            return False
        return True


class ErrorLog:
    """Events of at least `level` go to `fd` (None: nowhere), each beginning with the fields in `who`."""

    __slots__ = ("_destination", "_level", "_prefix", "_who")

    def __init__(self, fd: int | None, level: str, **who: object) -> None:
        self._destination = _Destination(fd)
        self._level = LEVELS.index(level)
        self._tell(who)

    def bind(self, **who: object) -> ErrorLog:
        """The same log for somebody else: these fields after, or instead of, the present ones."""
        other = ErrorLog.__new__(ErrorLog)
        other._destination = self._destination
        other._level = self._level
        other._tell({**self._who, **who})
        return other

    def _tell(self, who: dict[str, object]) -> None:
        self._who = who
        self._prefix = spell_fields(who)

    def reopen(self, fd: int) -> None:
        """Write to `fd` from now on, in this log and all that were bound from it; `fd` itself is closed."""
        self._destination.reopen(fd)

    def debug(self, event: str, /, **fields: object) -> None:
        self._event("debug", event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        self._event("info", event, fields)

    def warning(self, event: str, /, detail: str = "", **fields: object) -> None:
        """`detail`, such as stacks, stands below the line, indented."""
        self._event("warning", event, fields, detail)

    def error(self, event: str, /, detail: str = "", **fields: object) -> None:
        """`detail`, such as a traceback, stands below the line, indented."""
        self._event("error", event, fields, detail)

    def exception(self, event: str, exc: BaseException, /, **fields: object) -> None:
        """An error event that names `exc`, with its traceback below."""
        self._event("error", event, {"error": spell_exception(exc), **fields}, application_traceback(exc))

    def descriptor(self) -> int:
        """For what writes past us, as faulthandler does: the standard error's where nothing is logged."""
        sink = self._destination.sink
        return _STDERR if sink is None else sink.fd

    def stream(self) -> TextIO:
        """A text stream for `wsgi.errors`: what is written becomes events named `app` of level error."""
        return cast(TextIO, _Stream(self))

    def _event(self, level: str, event: str, fields: dict[str, object], detail: str = "") -> None:
        if LEVELS.index(level) < self._level:
            return
        to = self._destination
        line = to.line(level, self._prefix, event, fields)
        to.put(
            [line, *to.below(level, detail)] if detail else [line],
            lambda count: to.line("warning", self._prefix, "error log dropped", {"events": count}),
        )


class _Stream(io.TextIOBase):
    """Whole lines of one `write` are one event: the first its text, the others below it.

    A line in the making is kept per thread, so that threads do not end each other's lines.
    """

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, log: ErrorLog) -> None:
        self._log = log
        self._pending = threading.local()

    def writable(self) -> bool:
        return True

    def write(self, text: object, /) -> int:
        said = text if isinstance(text, str) else plain_text(text)
        done, newline, rest = (self._rest() + said).rpartition("\n")
        self._pending.text = rest
        if newline:
            self._emit(done)
        return len(said)

    def flush(self) -> None:
        rest = self._rest()
        if rest:
            self._pending.text = ""
            self._emit(rest)

    def close(self) -> None:
        """The server's stream is not the application's to close."""
        self.flush()

    def _rest(self) -> str:
        return getattr(self._pending, "text", "")

    def _emit(self, text: str) -> None:
        first, _, others = text.partition("\n")
        if len(first) > VALUE_LIMIT:
            others = text
        if text.strip():
            self._log.error("app", detail=others, text=first)
