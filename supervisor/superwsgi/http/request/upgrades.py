"""Whether a request asks to speak another protocol on its connection: RFC 9110 section 7.8.

What follows such a request may be of that protocol, so it is never read as HTTP, whatever the answer is: a
proxy that takes the connection for a tunnel, though it was refused, does not get one to this server.
"""

from __future__ import annotations

from typing import Final

from superwsgi.http.request.head import Request

_OFFERED: Final = frozenset({"", "h2c"})
"""Clients offer HTTP/2 (RFC 7540 section 3.2) with requests that are meant to be answered as they are: Java's
with each first one. No application could speak it."""


def asks_for_upgrade(request: Request) -> bool:
    """Whether an application may take over its connection. `keep_alive` has been settled."""
    environ = request.environ
    return (
        request.method == "GET"
        and request.version == "HTTP/1.1"
        and request.keep_alive
        and request.body is None
        and "upgrade" in _listed(environ.get("HTTP_CONNECTION", ""))
        and not _OFFERED.issuperset(_listed(environ["HTTP_UPGRADE"]))
    )


def _listed(value: str) -> list[str]:
    """The members of a list field, in lower case."""
    return [member.strip(" \t") for member in value.lower().split(",")]
