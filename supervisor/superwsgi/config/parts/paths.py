"""`paths:` what holds for the requests of some paths, in the place of what holds for the whole site."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from superwsgi.config.kinds import Bytes, Deadline, Switch, ThreadCount, Threshold


class PathRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule. A key that it leaves out, None, is as for the whole site: it takes over nothing of a rule
    with a shorter path."""

    request: Annotated[Deadline | None, Meta(description="deadline there, instead of timeouts.request")] = (
        None
    )
    slow: Annotated[Threshold | None, Meta(description="when the log tells of them, instead of log.slow")] = (
        None
    )
    threads: Annotated[
        ThreadCount | None,
        Meta(description="at most so many of them at once in a worker; more wait, and others pass them"),
    ] = None
    body: Annotated[
        Bytes | None, Meta(description="largest request body there, instead of limits.body; 0 = no limit")
    ] = None
    log: Annotated[
        Switch | None,
        Meta(
            description="access log: off = only what went wrong or was slow, on = all, whatever log.skip says"
        ),
    ] = None
