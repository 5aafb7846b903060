"""The error log: one line per event (who, what, what now) as `key=value`, and what applications write there.

Master, molds and workers write to the same file. Logging never raises, and neither a reader nor a disk holds
up a thread that serves (writer.py): lines that cannot be written are counted, and the count is written as
soon as possible. Trouble with a log that is a file is reported on stderr as well, where a supervisor, the
journal or somebody at a terminal finds it. It may be used on both sides of a fork; `start` is for processes
that do not fork.
"""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, cast

from superwsgi.log.files import is_journal
from superwsgi.log.frames import application_traceback
from superwsgi.log.rate_limit import Complaint
from superwsgi.log.spelling import (
    LEVELS,
    PRIORITY,
    below,
    event_line,
    journal_line,
    plain_text,
    spell_exception,
    spell_fields,
)
from superwsgi.log.writer import Outlet

_CLOSING: Final = 1.0
"""Seconds that a process that ends takes to write the lines that still wait."""

_STDERR: Final = 2

_ELSEWHERE: Final = 0

Report = Callable[[str, Mapping[str, object], str, Mapping[str, object], str], int | None]
"""Is told of an incident: level, who, event, fields, detail. Returns its number, for its line; 0 if its line
is written elsewhere; None if it cannot be told."""

_LONGEST: Final = 64 << 10
"""Characters of a line that are kept for its end to come; more go out as they are."""


class _Destination:
    """A descriptor and the spelling of its lines, shared by all logs that `bind` has made from one."""

    __slots__ = ("_aside", "_prefix", "_started", "_trouble", "journal", "level", "outlet", "report")

    def __init__(self, fd: int | None, level: str, prefix: str, aside: _Destination | None = None) -> None:
        self.level = LEVELS.index(level)
        self._prefix = prefix
        self._aside = aside
        self._trouble = _Trouble(self._say_aside)
        self._started = False
        self.report: Report | None = None
        self.outlet: Outlet | None = None
        self.journal = False
        if fd is not None:
            self.reopen(fd)

    def reopen(self, fd: int) -> None:
        self.journal = is_journal(fd, os.environ)
        if self.outlet is not None:
            self.outlet.reopen(fd)
            return
        self.outlet = Outlet(fd, self._notice, self._trouble)
        if self._started:
            self.outlet.start()

    def start(self) -> None:
        self._started = True
        if self.outlet is not None:
            self.outlet.start()

    def close(self) -> None:
        self._started = False
        if self.outlet is not None:
            self.outlet.close(_CLOSING)
            self._trouble.ends(self.outlet.dropped)

    def aside(self) -> _Destination | None:
        """Standard error, where this is something else."""
        stderr = self._aside
        if stderr is None or stderr.outlet is None:
            return None
        if self.outlet is not None and _is_same(self.outlet.fd, stderr.outlet.fd):
            return None
        if self._started:
            with suppress(RuntimeError):  # no thread can be had: who says something writes
                stderr.start()
        return stderr

    def _say_aside(self, level: str, event: str, **fields: object) -> None:
        stderr = self.aside()
        if stderr is not None:
            stderr.event(level, self._prefix, event, fields)

    def event(
        self, level: str, prefix: str, event: str, fields: Mapping[str, object], detail: str = ""
    ) -> None:
        if self.outlet is not None and LEVELS.index(level) >= self.level:
            lines = [self._line(level, prefix, event, fields)]
            self.outlet.put(map(_encoded, [*lines, *self._below(level, detail)] if detail else lines))

    def _line(self, level: str, prefix: str, event: str, fields: Mapping[str, object]) -> str:
        if self.journal:
            return journal_line(level, prefix, event, fields)
        return event_line(time.time(), level, prefix, event, fields)

    def _below(self, level: str, detail: str) -> list[str]:
        """The journal takes every line for an event, so each has a priority."""
        mark = PRIORITY[level] if self.journal else ""
        return [mark + line for line in below(detail)]

    def _notice(self, lines: int, reason: str) -> bytes:
        fields = {"lines": lines, "reason": reason}
        return _encoded(self._line("warning", self._prefix, "error log dropped", fields))


class _Trouble:
    """What is said of a log that cannot be written: that lines are dropped, once for each cause, and when it
    works again. `say` is called with level, event and fields."""

    __slots__ = ("_complaints", "_said", "_say")

    def __init__(self, say: Callable[..., None]) -> None:
        self._say = say
        self._complaints: dict[str, Complaint] = {}  # by reason
        self._said = False  # since it worked

    def loses(self, reason: str) -> None:
        complaint = self._complaints.setdefault(reason, Complaint(self._complain, "error log failed"))
        self._said |= complaint.make(time.monotonic_ns(), reason=reason, next="drops until it works")

    def works(self, dropped: int) -> None:
        if self._said:
            self._say("info", "error log works again", dropped=dropped)
        self._said = False

    def ends(self, dropped: int) -> None:
        """The process does, and so many lines were dropped of which the log does not tell."""
        if dropped:
            self._say("warning", "error log dropped", lines=dropped)

    def _complain(self, event: str, _detail: str, **fields: object) -> None:
        self._say("error", event, **fields)


def _is_same(fd: int, other: int) -> bool:
    """Whether both descriptors lead to the same file, pipe, socket or terminal."""
    return os.path.samestat(os.fstat(fd), os.fstat(other))


def _encoded(line: str) -> bytes:
    return line.encode("utf-8", "backslashreplace") + b"\n"


class ErrorLog:
    """Events of at least `level` go to `fd` (None: nowhere), each beginning with the fields in `who`.

    Warnings and errors are incidents, which are reported (`report_to`) at any level; but not a `notice`, nor
    what an application does wrong in a request (`exception`).

    What is wrong with the log is said to `stderr_fd` as well. What applications write to `stream` goes to the
    same place as events, or there where that is nowhere.
    """

    __slots__ = ("_aside", "_prefix", "_stream", "_to", "_who")

    def __init__(self, fd: int | None, level: str, *, stderr_fd: int | None = None, **who: object) -> None:
        self._tell(who)
        self._aside = None if stderr_fd is None else _Destination(stderr_fd, LEVELS[0], self._prefix)
        self._to = _Destination(fd, level, self._prefix, self._aside)
        self._stream = ErrorStream(self._aside if fd is None and self._aside is not None else self._to)

    def bind(self, **who: object) -> ErrorLog:
        """The same log with other fields in front: these are added, or replace those of the same name."""
        other = ErrorLog.__new__(ErrorLog)
        other._to, other._aside, other._stream = self._to, self._aside, self._stream
        other._tell({**self._who, **who})
        return other

    def _tell(self, who: dict[str, object]) -> None:
        self._who = who
        self._prefix = spell_fields(who)

    def report_to(self, report: Report) -> None:
        """Report incidents from now on, in this log and all that were bound from it."""
        self._to.report = report

    def as_of(self, **who: object) -> ErrorLog:
        """The same log, for what another process wants to have said."""
        other = self.bind()
        other._tell(who)
        return other

    def reopen(self, fd: int) -> None:
        """Write to `fd` from now on, in this log and all that were bound from it; `fd` itself is closed."""
        self._to.reopen(fd)

    def move(self, fd: int | None, level: str) -> None:
        """Like `reopen`, with another level; None: nowhere."""
        if fd is not None or self._to.outlet is not None:
            self._to.reopen(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC) if fd is None else fd)
        self._to.level = LEVELS.index(level)

    def start(self) -> None:
        """For a process that no longer forks: only a thread of its own waits for a reader or a disk then."""
        for destination in {self._to, self._stream.to}:
            destination.start()

    def flush(self, seconds: float) -> None:
        """Wait until everything is written, for at most `seconds`."""
        if self._to.outlet is not None:
            self._to.outlet.flush(seconds)

    def close(self) -> None:
        """At the end of the process: write what still waits, within a second."""
        self._stream.flush_all()
        self._to.close()
        if self._aside is not None:
            self._aside.close()

    def debug(self, event: str, /, **fields: object) -> None:
        self._event("debug", event, fields)

    def info(self, event: str, /, detail: str = "", **fields: object) -> None:
        """`detail`, such as a program's output, is written below the line, indented."""
        self._event("info", event, fields, detail)

    def incident(self, level: str, event: str, /, detail: str = "", **fields: object) -> int | None:
        """Something has gone wrong. Returns its number, if this process gives them."""
        report = self._to.report
        number = None if report is None else report(level, self._who, event, fields, detail)
        if number != _ELSEWHERE:
            numbered = fields if number is None else {**fields, "incident": number}
            self._event(level, event, numbered, detail)
        return number

    def warning(self, event: str, /, detail: str = "", **fields: object) -> int | None:
        """`detail`, such as stacks, is written below the line, indented. Returns as `incident`."""
        return self.incident("warning", event, detail, **fields)

    def notice(self, event: str, /, detail: str = "", *, level: str = "warning", **fields: object) -> None:
        """A line that is no incident: about a setting, or about an application that has no harm from it."""
        self._event(level, event, fields, detail)

    def error(self, event: str, /, detail: str = "", **fields: object) -> int | None:
        """The same for a traceback."""
        return self.incident("error", event, detail, **fields)

    def alarm(self, event: str, /, detail: str = "", **fields: object) -> None:
        """An error that may keep the log from being read, and so stands on stderr, too."""
        self._aloud("error", event, fields, detail)

    def all_clear(self, event: str, /, **fields: object) -> None:
        """What there was an `alarm` for is over."""
        self._aloud("info", event, fields)

    def exception(self, event: str, exc: BaseException, /, **fields: object) -> None:
        """An application's error in a request: it names `exc`, with its traceback below."""
        self._event("error", event, {"error": spell_exception(exc), **fields}, application_traceback(exc))

    def fault(self, event: str, exc: BaseException, /, **fields: object) -> None:
        """The same for an error of the server's own, which is an incident."""
        said = {"error": spell_exception(exc), **fields}
        self.incident("error", event, application_traceback(exc), **said)

    def descriptor(self) -> int:
        """For writers that bypass this class, as faulthandler does; standard error's if the log is off."""
        outlet = self._to.outlet
        return _STDERR if outlet is None else outlet.fd

    def stream(self) -> ErrorStream:
        """The text stream for `wsgi.errors`: what is written there is logged as it is, at any level."""
        return self._stream

    def _aloud(self, level: str, event: str, fields: dict[str, object], detail: str = "") -> None:
        if level == "error":
            self.incident(level, event, detail, **fields)
        else:
            self._event(level, event, fields, detail)
        aside = self._to.aside()
        if aside is not None:
            aside.event(level, self._prefix, event, fields, detail)

    def _event(self, level: str, event: str, fields: dict[str, object], detail: str = "") -> None:
        self._to.event(level, self._prefix, event, fields, detail)


class ErrorStream(io.TextIOBase):
    """Passes text on as it is, in whole lines. An unfinished line is kept, for each thread on its own, until
    its newline, `flush` or the end of the request, so that threads do not mix their lines.

    `open` holds the unfinished lines; `to` is where they go.
    """

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, to: _Destination) -> None:
        self.to = to
        self.open: dict[int, str] = {}  # by thread

    def writable(self) -> bool:
        return True

    def write(self, text: object, /) -> int:
        said = _text(text)
        line = self.open.pop(threading.get_ident(), "") + said
        end = line.rfind("\n") + 1
        if len(line) - end > _LONGEST:
            end = len(line)
        if end < len(line):
            self.open[threading.get_ident()] = line[end:]
        if end:
            self._say(line[:end])
        return len(said)

    def flush(self) -> None:
        rest = self.open.pop(threading.get_ident(), "")
        if rest:
            self._say(rest)

    def close(self) -> None:
        """An application cannot close the server's stream: this only flushes."""
        self.flush()

    def flush_all(self) -> None:
        """At the end of the process: the unfinished lines of all threads."""
        while self.open:
            self._say(self.open.popitem()[1])

    def _say(self, text: str) -> None:
        outlet = self.to.outlet
        if outlet is not None:
            outlet.put(text.encode("utf-8", "backslashreplace").splitlines(keepends=True))


def _text(said: object) -> str:
    """As a str and nothing else: a subclass (an enum's member, Django's SafeString) may spell itself in
    another way, and change what it is joined to."""
    return "".join((cast(str, said),)) if issubclass(type(said), str) else plain_text(said)
