"""What the access log is told of a request."""

from __future__ import annotations

import time
from typing import Any

from superwsgi.http.fields import exact
from superwsgi.http.request.head import Request
from superwsgi.http.request.trace import traceparent
from superwsgi.log.access import AccessEntry


def access_entry(
    remote: str,
    request: Request | None,
    request_id: str,
    status: int,
    sent: int,
    seconds: float,
    queued: float,
) -> AccessEntry:
    """A request's entry for the access log. None is a request that could not be understood; `remote` is the
    connection's peer, `seconds` and `queued` were spent in the application and in the queue before."""
    when = time.time() - seconds
    if request is None:
        return AccessEntry(
            when, remote, "", "", "", status, sent, seconds, queued, seconds, "", "", "", request_id, ""
        )
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
        queued=queued,
        app=seconds,
        host=_text(said("HTTP_HOST")),
        referer=_text(said("HTTP_REFERER")),
        agent=_text(said("HTTP_USER_AGENT")),
        request_id=request_id,
        traceparent=traceparent(request.environ),
    )


def _text(said: Any, otherwise: str = "") -> str:
    """The application had the environ before us, and may have put non-text values there."""
    if type(said) is str:
        return said
    text = None if said is None else exact(said)
    return otherwise if text is None else text
