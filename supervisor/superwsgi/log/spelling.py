"""How things are spelled: one event of the error log, and the values in it. Sizes, durations and the end of a
process are spelled alike in logs, status and messages.

A line that begins in column 0 is an event; its details follow, indented. No text of a client or an
application can begin a line, end a value, or move a terminal's cursor.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from typing import Final

LEVELS: Final = ("debug", "info", "warning", "error")

PRIORITY: Final = {"debug": "<7>", "info": "<6>", "warning": "<4>", "error": "<3>"}
"""How a line begins for systemd's journal; the numbers are those of syslog(3)."""

_INDENT: Final = "    "
VALUE_LIMIT: Final = 1000
"""Characters of one value: a line of a few values fits PIPE_BUF."""

_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}

_SIZES: Final = ((1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K"))


def event_line(when: float, level: str, who: str, event: str, fields: Mapping[str, object]) -> str:
    """`2026-11-22T17:20:01.123Z info    worker=2 gen=3 killed reason=memory next=replaced`, no newline.

    `when` is wall time in seconds, `who` comes from `spell_fields`.
    """
    return f"{spell_time(when)} {level:<7} {_said(who, event, fields)}"


def journal_line(level: str, who: str, event: str, fields: Mapping[str, object]) -> str:
    """The same for systemd's journal, which knows the time itself and takes a priority (sd-daemon(3))."""
    return f"{PRIORITY[level]}{_said(who, event, fields)}"


def _said(who: str, event: str, fields: Mapping[str, object]) -> str:
    return " ".join(filter(None, (who, printable(event), spell_fields(fields))))


def spell_time(when: float) -> str:
    """RFC 3339, UTC, milliseconds."""
    seconds, millis = divmod(int(when * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{millis:03}Z"


def spell_fields(fields: Mapping[str, object]) -> str:
    return " ".join(f"{name}={spell_value(value)}" for name, value in fields.items())


class Whole(str):
    """A text that is not shortened, whatever its length: somebody has made it fit."""

    __slots__ = ()


def spell_value(value: object) -> str:
    """A value as one word, or quoted with the escapes of JSON where it is not."""
    text = value if isinstance(value, Whole) else shortened(plain_text(value))
    if text and text.isprintable() and not any(mark in text for mark in ' "=\\'):
        return text
    return f'"{escaped(text)}"'


def shortened(text: str) -> str:
    return text if len(text) <= VALUE_LIMIT else text[:VALUE_LIMIT] + "…"


def plain_text(value: object) -> str:
    """`value` as a person would write it; never raises."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, BaseException):
        return spell_exception(value)
    try:
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    except Exception:  # an object of the application whose __str__ fails
        return f"<{type(value).__name__}>"


def encodable(text: str) -> str:
    """`text` with what UTF-8 cannot encode escaped: names of files, and what applications say, may have lone
    surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()


def spell_exception(exc: BaseException) -> str:
    """`ValueError: no such thing`, or its type alone where it has nothing to say."""
    name = type(exc).__name__
    try:
        text = str(exc)
    except Exception:  # its __str__ fails
        text = ""
    return f"{name}: {text}" if text else name


def escaped(text: str) -> str:
    """`text` with quotes, backslashes and all that is not printable (str.isprintable) escaped."""
    return "".join(_ESCAPES.get(char) or (char if char.isprintable() else _code(char)) for char in text)


def printable(text: str) -> str:
    """`text` with only what is not printable escaped, for use outside of quotes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _ESCAPES.get(char) or _code(char) for char in text)


def _code(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def below(text: str) -> list[str]:
    """The lines of `text`, indented as below an event."""
    return [_INDENT + line for line in printable_lines(text)]


def printable_lines(text: str) -> list[str]:
    """Those of `text`, such as a traceback, each with only what is not printable escaped."""
    return [printable(line.expandtabs(4)) for line in text.rstrip("\n").split("\n")]


def size(count: float) -> str:
    """`612M` for 612 << 20 bytes, `1.5G`, `900`: as a site file would say it, three digits at most."""
    for unit, letter in _SIZES:
        if count >= unit:
            amount = count / unit
            return f"{amount:.1f}".removesuffix(".0") + letter if amount < 10 else f"{amount:.0f}{letter}"
    return f"{count:.0f}"


def duration(seconds: float) -> str:
    """`0.4ms`, `250ms`, `1.2s`, `1m30s`, `2h05m`, `3d04h`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms" if seconds >= 0.00995 or not seconds else f"{seconds * 1000:.1f}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02}m"
    return f"{hours // 24}d{hours % 24:02}h"


def share(part: float, whole: float = 1.0) -> str:
    """`88 %` for 0.88, `<1 %`, `0 %`."""
    percent = 100 * part / whole
    return f"{percent:.0f} %" if percent >= 1 or not percent else "<1 %"


def ending(code: int) -> str:
    """`exit code 3`, or `signal 9 (SIGKILL)` for -9: `code` as os.waitstatus_to_exitcode gives it."""
    return f"exit code {code}" if code >= 0 else f"signal {-code} ({signal_name(-code)})"


def signal_name(number: int) -> str:
    """`SIGKILL` for 9; `SIGRTMIN+3` and `SIG99` for what has no name of its own."""
    try:
        return signal.Signals(number).name
    except ValueError:
        if signal.SIGRTMIN < number < signal.SIGRTMAX:
            return f"SIGRTMIN+{number - signal.SIGRTMIN}"
        return f"SIG{number}"
