"""What the access log is told of a request."""

from __future__ import annotations

import time
from typing import Any

from superwsgi.http.fields import exact
from superwsgi.http.request.head import Request
from superwsgi.log.access import AccessEntry


def access_entry(
    remote: str, request: Request | None, request_id: str, status: int, sent: int, seconds: float
) -> AccessEntry:
    """None is a request that could not be understood; `remote` is the connection's peer."""
    when = time.time() - seconds
    if request is None:
        return AccessEntry(when, remote, "", "", "", status, sent, seconds, "", "", "", request_id)
    said = request.environ.get
    return AccessEntry(
        when=when,
        remote=_text(said("REMOTE_ADDR"), remote),
        method=request.method,
        target=request.target.decode("latin-1"),
        protocol=request.version,
        status=status,
        sent=sent,
        duration=seconds,
        host=_text(said("HTTP_HOST")),
        referer=_text(said("HTTP_REFERER")),
        agent=_text(said("HTTP_USER_AGENT")),
        request_id=request_id,
    )


def _text(said: Any, otherwise: str = "") -> str:
    """The application had the environ before us, and may have put there what is no text."""
    text = exact(said)
    return otherwise if text is None else text
