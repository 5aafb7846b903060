"""An access log entry as one line: combined, JSON or a template, compiled once to a function.

What a client sent may not end a line, leave its quotes or move a terminal's cursor: each format writes
printable ASCII only and escapes the rest. Nearly all lines need none of that, so a line is spelled first
and looked at as a whole; only where it is not clean are its fields escaped, and it is spelled again.
Called by the access log's writer thread alone: the clocks' caches have no lock.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import msgspec

from superwsgi.config.grammar.formats import ACCESS_NAMES, parse_template
from superwsgi.log.writer import PIPE_BUF

_CUTS: Final = (600, 50, 0)
"""Characters kept of each field of a line over PIPE_BUF, which one write would not put down whole."""


class AccessEntry(NamedTuple):
    """One answered request. `when` is wall time in seconds when the application was called, `sent` bytes.
    Seconds: `duration` from then to the last byte, `app` until the application was done, `queued` before.
    `sample` is the share of its like that have a line.

    Text is as WSGI has it: bytes as latin-1; empty where the client said nothing.
    """

    when: float
    remote: str
    method: str
    target: str
    protocol: str
    status: int
    sent: int
    duration: float
    queued: float
    app: float
    host: str
    referer: str
    agent: str
    request_id: str
    traceparent: str
    sample: float = 1.0


class Writer(NamedTuple):
    """Who writes the line."""

    pid: int
    worker: int
    generation: int


Formatter = Callable[[AccessEntry], bytes]
"""An entry as one line with its newline, at most PIPE_BUF bytes."""


def compile_format(name: str, writer: Writer, *, sampled: bool = False) -> Formatter:
    """The function for `log.format`; `sampled` if some requests have no line. Raises ValueError for a
    template that `parse_template` refuses."""
    if name == "combined":
        return _within_pipe_buf(_combined())
    if name == "json":
        return _within_pipe_buf(_json(writer, sampled))
    return _within_pipe_buf(_template(name, writer))


def _within_pipe_buf(spell: Formatter) -> Formatter:
    def line(entry: AccessEntry) -> bytes:
        text = spell(entry)
        return text if len(text) <= PIPE_BUF else _shortened(spell, entry)

    return line


def _shortened(spell: Formatter, entry: AccessEntry) -> bytes:
    for limit in _CUTS:
        line = spell(_each_text(entry, partial(_cut, limit=limit)))
        if len(line) <= PIPE_BUF:
            break
    return line


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + "..."


def _each_text(entry: AccessEntry, change: Callable[[str], str]) -> AccessEntry:
    return AccessEntry._make(change(value) if isinstance(value, str) else value for value in entry)


def _combined() -> Formatter:
    """Apache's `%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-agent}i"`, escaped as mod_log_config does."""
    clock = _local_clock()

    def spell(entry: AccessEntry) -> str:
        method = entry.method
        request = f"{method} {entry.target} {entry.protocol}" if method else "-"
        return (
            f'{entry.remote or "-"} - - [{clock(entry.when)}] "{request}" {entry.status} {entry.sent or "-"} '
            f'"{entry.referer or "-"}" "{entry.agent or "-"}"'
        )

    def line(entry: AccessEntry) -> bytes:
        text = spell(entry)
        if not _is_clean(text, quotes=6):
            text = spell(_each_text(entry, _escaped))
        return text.encode("ascii") + b"\n"

    return line


def _template(template: str, writer: Writer) -> Formatter:
    """Names become the entry's values, `-` where there is none; the template's own text stays as it is."""
    pieces = parse_template(template)
    own_text = "".join(text for text, _ in pieces)
    pattern = "".join(_literal(text) + _placeholder(name) for text, name in pieces)
    quotes, backslashes = own_text.count('"'), own_text.count("\\")
    clock = _utc_clock()

    def spell(entry: AccessEntry) -> str:
        return pattern.format(
            clock(entry.when),
            entry.remote or "-",
            entry.method or "-",
            entry.target or "-",
            entry.protocol or "-",
            entry.status,
            entry.sent,
            f"{entry.duration:.6f}",
            f"{entry.queued:.6f}",
            f"{entry.app:.6f}",
            entry.host or "-",
            entry.referer or "-",
            entry.agent or "-",
            entry.request_id,
            entry.traceparent or "-",
            _trace_id(entry.traceparent) or "-",
            *writer,
            entry.sample,
        )

    def line(entry: AccessEntry) -> bytes:
        text = spell(entry)
        if not _is_clean(text, quotes, backslashes):
            text = spell(_each_text(entry, _escaped))
        return text.encode() + b"\n"

    return line


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _placeholder(name: str | None) -> str:
    return "" if name is None else f"{{{ACCESS_NAMES.index(name)}}}"


def _json(writer: Writer, sampled: bool) -> Formatter:
    """An object with every name, in their order, but `sample` only where it may be less than 1; characters
    outside of ASCII as \\u escapes."""
    clock = _utc_clock()
    encode = msgspec.json.Encoder().encode

    def values(entry: AccessEntry) -> dict[str, object]:
        return {
            "time": clock(entry.when),
            "remote": entry.remote,
            "method": entry.method,
            "target": entry.target,
            "protocol": entry.protocol,
            "status": entry.status,
            "sent": entry.sent,
            "duration": round(entry.duration, 6),
            "queued": round(entry.queued, 6),
            "app": round(entry.app, 6),
            "host": entry.host,
            "referer": entry.referer,
            "agent": entry.agent,
            "request_id": entry.request_id,
            "traceparent": entry.traceparent,
            "trace_id": _trace_id(entry.traceparent),
            "pid": writer.pid,
            "worker": writer.worker,
            "generation": writer.generation,
        }

    def line(entry: AccessEntry) -> bytes:
        said = values(entry)
        if sampled:
            said["sample"] = entry.sample
        try:
            text = encode(said)
        except UnicodeEncodeError:  # a lone surrogate
            text = b"\xff"
        if not text.isascii() or b"\x7f" in text:
            text = json.dumps(said, separators=(",", ":")).replace("\x7f", "\\u007f").encode("ascii")
        return text + b"\n"

    return line


def _trace_id(traceparent: str) -> str:
    """W3C Trace Context section 3.2.2."""
    return traceparent[3:35]


def _is_clean(line: str, quotes: int, backslashes: int = 0) -> bool:
    """Whether no value brought anything that has to be escaped into a line with so many marks of its own."""
    return (
        line.isascii()
        and line.isprintable()
        and line.count('"') == quotes
        and line.count("\\") == backslashes
    )


_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


def _escaped(text: str) -> str:
    """As ap_escape_logitem of Apache 2.4 does it: quotes, backslashes, and all but printable ASCII."""
    return "".join(
        _ESCAPES.get(char) or (char if " " <= char <= "~" else _hexadecimal(char)) for char in text
    )


def _hexadecimal(char: str) -> str:
    octets = char.encode("latin-1") if ord(char) < 0x100 else char.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{octet:02x}" for octet in octets)


_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _clf_time(second: int) -> str:
    """`22/Nov/2026:17:20:01 +0100`, local time; strftime would use the application's locale."""
    at = time.localtime(second)
    minutes = at.tm_gmtoff // 60
    zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
    date = f"{at.tm_mday:02}/{_MONTHS[at.tm_mon - 1]}/{at.tm_year}"
    return f"{date}:{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} {zone}"


def _local_clock() -> Callable[[float], str]:
    known, text = -1, ""

    def clock(when: float) -> str:
        nonlocal known, text
        second = int(when)
        if second != known:
            known, text = second, _clf_time(second)
        return text

    return clock


def _utc_clock() -> Callable[[float], str]:
    """RFC 3339 with milliseconds; its seconds are spelled once each."""
    known, text = -1, ""

    def clock(when: float) -> str:
        nonlocal known, text
        second, millis = divmod(int(when * 1000), 1000)
        if second != known:
            known, text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{text}.{millis:03}Z"

    return clock
