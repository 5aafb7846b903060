"""For the section `log`: the words that name a log's target, the named formats, and the names and grammar of
a template.

The loader checks a site file with these, and log/ makes the line from them: what one accepts the other
can write. Nothing is formatted here.
"""

from __future__ import annotations

import string
from difflib import get_close_matches
from typing import Final

TARGETS: Final = {
    **dict.fromkeys(("-", "on", "true", "yes", "y"), "-"),
    **dict.fromkeys(("off", "false", "no", "n", "none"), "off"),
    "stdout": "/dev/stdout",
    "stderr": "/dev/stderr",
}
"""In lower case; anything else is a file."""

NAMED_FORMATS: Final = ("combined", "json")

ACCESS_NAMES: Final = (
    "time",
    "remote",
    "method",
    "target",
    "protocol",
    "status",
    "sent",
    "duration",
    "queued",
    "app",
    "host",
    "referer",
    "agent",
    "request_id",
    "traceparent",
    "trace_id",
    "pid",
    "worker",
    "generation",
    "sample",
)


def parse_template(template: str) -> list[tuple[str, str | None]]:
    """(text, name that follows it or None) pairs of a template such as `{method} {target}`.

    Raises ValueError, with a reason for the operator, for an unknown name, unbalanced braces, a
    conversion or format (`{status!r}`, `{duration:.3f}`) and a template without any name.
    """
    pieces: list[tuple[str, str | None]] = []
    for text, name, spec, conversion in string.Formatter().parse(template):
        if name is not None:
            _check_name(name, spec, conversion)
        pieces.append((text, name))
    if not any(name for _, name in pieces):
        raise ValueError(
            f"neither one of {', '.join(NAMED_FORMATS)} nor a template such as {{method}} {{target}}"
        )
    return pieces


def _check_name(name: str, spec: str | None, conversion: str | None) -> None:
    if spec or conversion:
        raise ValueError(f"{{{name}}} takes no conversion and no format")
    if name in ACCESS_NAMES:
        return
    near = get_close_matches(name, ACCESS_NAMES, n=1)
    hint = f", did you mean {{{near[0]}}}?" if near else f"; known: {', '.join(ACCESS_NAMES)}"
    raise ValueError(f"unknown name {{{name}}}{hint}")
