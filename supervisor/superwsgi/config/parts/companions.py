"""`companions:` of the site file: programs that belong to the release and serve no web requests, such as a
task queue's workers. The fields are as in sections.py; `command` is a line of words, which no shell reads.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from superwsgi.config.kinds import Command, CompanionCount, Seconds
from superwsgi.config.sections import Memory


class CompanionSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of `companions:`. Limits of memory are those of each of its processes, with all that it has
    started; a web worker's are not its own."""

    command: Annotated[
        Command, Meta(description="what to execute, in the release's folder, in the foreground")
    ]
    count: Annotated[
        CompanionCount, Meta(description="how many of them run; with 1 there are never two at once")
    ] = 1
    graceful: Annotated[
        Seconds | None, Meta(description="how long it may take to end; default: timeouts.graceful")
    ] = None
    signal: Annotated[
        Literal["TERM", "INT", "QUIT", "HUP", "USR1", "USR2"],
        Meta(description="the signal that tells it to end"),
    ] = "TERM"
    memory: Annotated[
        Memory, Meta(description="what it may use with all that it has started; default: no limits")
    ] = Memory()
