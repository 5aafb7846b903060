"""What somebody who develops a site reads in the terminal: when and how it serves, a line for each request,
what has gone wrong. Colours where there are any; what the application prints comes from its own process.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, TextIO

from superwsgi.development.shared import Breakage
from superwsgi.development.shown.tracebacks import ALARM, coloured, paint
from superwsgi.log.spelling import printable

_DIM: Final = "2"
_BOLD: Final = "1"
_LINK: Final = "4;36"
_WARN: Final = "33"
_GOOD: Final = "32"

_STATUS: Final = {1: _DIM, 2: _GOOD, 3: "36", 4: _WARN, 5: "31"}
"""By the first digit."""

_LEVEL: Final = {"error": ALARM, "warning": _WARN}

_WHO: Final = frozenset(
    {"time", "level", "event", "master", "mold", "pid", "generation", "incident", "detail", "traceback"}
)
"""Fields of an event that tell a developer nothing, or are shown in another way."""

_WHY: Final = ("reason", "problem", "error", "how")


def has_colours(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether a terminal is there and nobody objects (no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


class Terminal:
    """Where it is written; nothing happens once nobody reads it."""

    def __init__(self, stream: TextIO, *, colours: bool) -> None:
        self._stream = stream
        self._colours = colours

    def summary(self, title: str, facts: Iterable[tuple[str, str]]) -> None:
        """A title and a table below it; what looks like an address can be clicked."""
        lines = [self._paint(title, _BOLD), ""]
        for name, value in facts:
            style = _LINK if value.startswith("http") else ""
            lines.append(f"  {self._paint(f'{name:<12}', _DIM)} {self._paint(printable(value), style)}")
        self._write("\n".join([*lines, ""]))

    def request(self, entry: Mapping[str, Any]) -> None:
        """A line of the access log."""
        status, took = int(entry["status"]), float(entry["duration"]) * 1000
        shown = self._paint(str(status), _STATUS.get(status // 100, ""))
        took_shown = self._paint(f"{took:.0f} ms" if took >= 10 else f"{took:.1f} ms", _DIM)
        asked = f"{entry['method']:<4} {printable(str(entry['target']))}"
        self._line(f"{asked}  {shown}  {took_shown}")

    def reloaded(self, what: str, seconds: float) -> None:
        self._line(f"{self._paint('reloaded', _GOOD)} in {seconds:.2f} s: {printable(what)}")

    def broken(self, failure: Breakage, then: str) -> None:
        """Code that does not run."""
        self._line(self._paint(printable(failure.reason), ALARM))
        if failure.detail:
            self._write(coloured(failure.detail, colours=self._colours).rstrip("\n"))
        self._line(self._paint(printable(then), _WARN))

    def event(self, entry: Mapping[str, Any]) -> None:
        """A warning or an error of the server's log."""
        level = str(entry["level"])
        self._line(f"{self._paint(level, _LEVEL.get(level, ''))} {printable(_sentence(entry))}")
        detail = str(entry.get("traceback") or entry.get("detail") or "")
        if detail:
            self._write(coloured(detail, colours=self._colours).rstrip("\n"))

    def says(self, text: str, *, bad: bool = False) -> None:
        self._line(self._paint(printable(text), ALARM if bad else _WARN))

    def _line(self, text: str) -> None:
        self._write(f"{self._paint(time.strftime('%H:%M:%S'), _DIM)} {text}")

    def _paint(self, text: str, parameters: str) -> str:
        return paint(text, parameters, self._colours)

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._stream.write(f"{text}{os.linesep}")
            self._stream.flush()


def _sentence(entry: Mapping[str, Any]) -> str:
    """`worker 1 died: killed by SIGSEGV (requests=3); replaced at once`."""
    rest = {name: value for name, value in entry.items() if name not in _WHO}
    then, worker = rest.pop("next", None), rest.pop("worker", None)
    why = [str(rest.pop(name)) for name in _WHY if name in rest]
    who = f"worker {worker} " if worker is not None else ""
    more = ", ".join(f"{name}={value}" for name, value in rest.items())
    said = f"{who}{entry['event']}" + (f": {', '.join(why)}" if why else "") + (f" ({more})" if more else "")
    return f"{said}; {then}" if then else said
