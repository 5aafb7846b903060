"""The error log: one event (who, what, what now) after the other, and what applications write there.

Master, molds and workers write to the same file. Logging never raises, and neither a reader nor a disk holds
up a thread that serves (writer.py): lines that cannot be written are counted, and the count is written as
soon as possible. Trouble with a log that is a file is reported on stderr as well, where a supervisor, the
journal or somebody at a terminal finds it. It may be used on both sides of a fork; `start` is for processes
that do not fork.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final

from superwsgi.log.files import is_journal
from superwsgi.log.frames import application_traceback
from superwsgi.log.rate_limit import Complaint
from superwsgi.log.spelling import LEVELS, Whole, spell_exception
from superwsgi.log.streams import ErrorStream, Lines
from superwsgi.log.styles import STYLES, LogEvent, Place, pieces
from superwsgi.log.writer import Outlet

_CLOSING: Final = 1.0
"""Seconds that a process that ends takes to write the lines that still wait."""

_STDERR: Final = 2

_ELSEWHERE: Final = 0

Report = Callable[[str, Mapping[str, object], str, Mapping[str, object], str], int | None]
"""Is told of an incident: level, who, event, fields, detail. Returns its number, for its line; 0 if its line
is written elsewhere; None if it cannot be told."""


class _Destination:
    """A descriptor and the spelling of its lines, shared by all logs that `bind` has made from one."""

    __slots__ = ("_aside", "_started", "_trouble", "_who", "journal", "level", "outlet", "report", "style")

    def __init__(
        self,
        fd: int | None,
        level: str,
        style: str,
        who: Mapping[str, object],
        aside: _Destination | None = None,
    ) -> None:
        self.level = LEVELS.index(level)
        self.style = style
        self._who = who
        self._aside = aside
        self._trouble = _Trouble(self._say_aside, self._report)
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

    def _report(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Whoever reads no log may ask the master."""
        if self.report is not None:
            self.report(level, {}, event, fields, "")

    def _say_aside(self, level: str, what: str, **fields: object) -> None:
        stderr = self.aside()
        if stderr is not None:
            stderr.tell(LogEvent(level, self._who, what, fields))

    def tell(self, event: LogEvent) -> None:
        """Unless it is below the level."""
        if LEVELS.index(event.level) >= self.level:
            self.say([event])

    def say(self, events: Iterable[LogEvent]) -> None:
        """At any level, with no other line between them."""
        if self.outlet is not None:
            self.outlet.put([line for event in events for line in self._lines(event)])

    def pass_on(self, data: bytes) -> None:
        """Lines of somebody else's, as they are."""
        if self.outlet is not None:
            self.outlet.put(data.splitlines(keepends=True))

    @property
    def limit(self) -> int:
        """Bytes of a line that one write keeps together."""
        return 0 if self.outlet is None else self.outlet.unit

    def _lines(self, event: LogEvent) -> list[bytes]:
        return STYLES[self.style](event, Place(self.journal, self.limit))

    def _notice(self, lines: int, reason: str) -> bytes:
        fields = {"lines": lines, "reason": reason}
        return b"".join(self._lines(LogEvent("warning", self._who, "error log dropped", fields)))


class _Trouble:
    """What is said of a log that cannot be written: that lines are dropped, once for each cause, and when it
    works again. `say` is called with level, event and fields; `report`, likewise, for the incident."""

    __slots__ = ("_complaints", "_report", "_said", "_say")

    def __init__(
        self, say: Callable[..., None], report: Callable[[str, str, Mapping[str, object]], None]
    ) -> None:
        self._say = say
        self._report = report
        self._complaints: dict[str, Complaint] = {}  # by reason
        self._said = False  # since it worked

    def loses(self, reason: str) -> None:
        complaint = self._complaints.setdefault(reason, Complaint(self._complain, "error log failed"))
        self._said |= complaint.make(
            time.monotonic_ns(), reason=reason, next="lines are dropped until it works"
        )

    def works(self, dropped: int) -> None:
        if self._said:
            self._say("info", "error log works again", dropped=dropped)
            self._report(
                "warning", "error log dropped", {"reason": _lines(dropped), "next": "it works again"}
            )
        self._said = False

    def ends(self, dropped: int) -> None:
        """The process does, and so many lines were dropped of which the log does not tell."""
        if dropped:
            self._say("warning", "error log dropped", lines=dropped)
            self._report("warning", "error log dropped", {"reason": _lines(dropped)})

    def _complain(self, event: str, _detail: str, **fields: object) -> None:
        self._say("error", event, **fields)
        self._report("error", event, fields)


def _lines(count: int) -> str:
    return f"{count} line{'s' * (count > 1)}"


def _is_same(fd: int, other: int) -> bool:
    """Whether both descriptors lead to the same file, pipe, socket or terminal."""
    return os.path.samestat(os.fstat(fd), os.fstat(other))


class ErrorLog:
    """Events of at least `level` go to `fd` (None: nowhere), each beginning with the fields in `who`, in the
    `style` that `log.style` names. Where output is `captured`, each line of the application's is an event.

    Warnings and errors are incidents, which are reported (`report_to`) at any level; but not a `notice`, nor
    what an application does wrong in a request (`exception`).

    What is wrong with the log is said to `stderr_fd` as well. What applications write to `stream` goes to the
    same place as events, or there where that is nowhere.
    """

    __slots__ = ("_aside", "_stream", "_to", "_voice", "_who")

    def __init__(
        self,
        fd: int | None,
        level: str,
        *,
        style: str = "text",
        captured: bool = False,
        stderr_fd: int | None = None,
        **who: object,
    ) -> None:
        self._who = who
        self._aside = None if stderr_fd is None else _Destination(stderr_fd, LEVELS[0], style, who)
        self._to = _Destination(fd, level, style, who, self._aside)
        to = self._aside if fd is None and self._aside is not None else self._to
        self._voice = _Voice(to, who, captured)
        self._stream = ErrorStream(self._voice.lines)

    def bind(self, **who: object) -> ErrorLog:
        """The same log with other fields in front: these are added, or replace those of the same name."""
        other = ErrorLog.__new__(ErrorLog)
        other._to, other._aside = self._to, self._aside
        other._voice, other._stream = self._voice, self._stream
        other._who = {**self._who, **who}
        return other

    def report_to(self, report: Report) -> None:
        """Report incidents from now on, in this log and all that were bound from it."""
        self._to.report = report

    def as_of(self, **who: object) -> ErrorLog:
        """The same log, for what another process wants to have said."""
        other = self.bind()
        other._who = who
        return other

    def reopen(self, fd: int) -> None:
        """Write to `fd` from now on, in this log and all that were bound from it; `fd` itself is closed."""
        self._to.reopen(fd)

    def move(self, fd: int | None, level: str, style: str) -> None:
        """Like `reopen`, with another level and style; None: nowhere."""
        if fd is not None or self._to.outlet is not None:
            self._to.reopen(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC) if fd is None else fd)
        self._to.level = LEVELS.index(level)
        for destination in filter(None, (self._to, self._aside)):
            destination.style = style

    def start(self) -> None:
        """For a process that no longer forks: only a thread of its own waits for a reader or a disk then."""
        for destination in {self._to, self._voice.to}:
            destination.start()

    def flush(self, seconds: float) -> None:
        """Wait until everything is written, for at most `seconds`."""
        if self._to.outlet is not None:
            self._to.outlet.flush(seconds)

    def close(self) -> None:
        """At the end of the process: write what still waits, within a second."""
        self._voice.lines.flush_all()
        self._to.close()
        if self._aside is not None:
            self._aside.close()

    def debug(self, event: str, /, **fields: object) -> None:
        self._event("debug", event, fields)

    def info(self, event: str, detail: str = "", /, **fields: object) -> None:
        """`detail`, such as a program's output, is written below the line, indented."""
        self._event("info", event, fields, detail)

    def incident(self, level: str, event: str, detail: str = "", /, **fields: object) -> int | None:
        """Something has gone wrong. Returns its number, if this process gives them."""
        report = self._to.report
        number = None if report is None else report(level, self._who, event, fields, detail)
        if number != _ELSEWHERE:
            numbered = fields if number is None else {**fields, "incident": number}
            self._event(level, event, numbered, detail)
        return number

    def warning(self, event: str, detail: str = "", /, **fields: object) -> int | None:
        """`detail`, such as stacks, is written below the line, indented. Returns as `incident`."""
        return self.incident("warning", event, detail, **fields)

    def notice(self, event: str, detail: str = "", /, *, level: str = "warning", **fields: object) -> None:
        """A line that is no incident: about a setting, or about an application that has no harm from it."""
        self._event(level, event, fields, detail)

    def error(self, event: str, detail: str = "", /, **fields: object) -> int | None:
        """The same for a traceback."""
        return self.incident("error", event, detail, **fields)

    def alarm(self, event: str, detail: str = "", /, **fields: object) -> None:
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
        """The text stream for `wsgi.errors`: what is written there is logged at any level."""
        return self._stream

    @property
    def lines(self) -> Lines:
        """What the application's threads have begun to write."""
        return self._voice.lines

    def know_requests(self, in_hand: Callable[[], Mapping[str, str]]) -> None:
        """From now on what the application writes is logged with the fields that `in_hand` returns: those
        that name the request which the calling thread has in hand, if it has one."""
        self._voice.in_hand = in_hand

    def begin_child(self) -> None:
        """In a child that the application forked: what its parent's threads have begun is for them to say."""
        self._voice.begin_child()

    def application(self, stream: str, data: bytes, /, **fields: object) -> None:
        """Lines that the application has written to a `stream`: each becomes an event, at any level."""
        self._voice.tell({**self._who, **fields}, stream, data)

    def _aloud(self, level: str, event: str, fields: dict[str, object], detail: str = "") -> None:
        if level == "error":
            self.incident(level, event, detail, **fields)
        else:
            self._event(level, event, fields, detail)
        aside = self._to.aside()
        if aside is not None:
            aside.tell(LogEvent(level, self._who, event, fields, detail))

    def _event(self, level: str, what: str, fields: dict[str, object], detail: str = "") -> None:
        self._to.tell(LogEvent(level, self._who, what, fields, detail))


class _Voice:
    """What is not the server's own: lines of the application, and of processes that cannot log themselves.

    They stand in the log as they are, or as events of level info, with style json or where output is
    captured; in either case at any level of the log: somebody else has decided to say them. stderr's lines
    are info, too: Python's logging writes there whatever it has to say, from debug on.
    """

    __slots__ = ("_captured", "_who", "in_hand", "lines", "to")

    def __init__(self, to: _Destination, who: Mapping[str, object], captured: bool) -> None:
        self.to = to
        self._who = who
        self._captured = captured
        self.lines = Lines(self._say)
        self.in_hand: Callable[[], Mapping[str, str]] = dict

    def begin_child(self) -> None:
        self.lines.begun.clear()
        self._who = {**self._who, "child": os.getpid()}

    def _say(self, stream: str, data: bytes) -> None:
        if self._captured or self.to.style != "text":
            self.tell(self._who, stream, data)
        else:
            self.to.pass_on(data)

    def tell(self, who: Mapping[str, object], stream: str, data: bytes) -> None:
        fields = {"stream": stream, **self.in_hand()}
        lines = data.decode("utf-8", "backslashreplace").removesuffix("\n").split("\n")
        parts = [part for line in lines for part in pieces(line.removesuffix("\r"), self.to.limit)]
        self.to.say(LogEvent("info", who, "application", {**fields, "text": Whole(part)}) for part in parts)
