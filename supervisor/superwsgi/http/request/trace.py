"""The request's place in a trace that spans several services: the field `traceparent` (W3C Trace Context
section 3.2), for the logs. The application has the field anyway, whatever it says.
"""

from __future__ import annotations

import re
from typing import Final

from superwsgi.apps.types import Environ
from superwsgi.http.request.head import Request

_IDS: Final = r"(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"

_TRACEPARENT: Final = re.compile(rf"(00-{_IDS})|((?!ff|00)[0-9a-f]{{2}}-{_IDS})(?:-.*)?")
"""Version, trace id, parent id, flags. Later versions than 00 may add to that; nobody knows what, yet."""


def traceparent(environ: Environ) -> str:
    """The field, without what a later version adds; empty if there is none, or an invalid one. The
    application had the environ before, and may have put anything there."""
    said = environ.get("HTTP_TRACEPARENT")
    match = _TRACEPARENT.fullmatch(said) if type(said) is str else None
    return "" if match is None else match[1] or match[2]


def named(request: Request) -> dict[str, str]:
    """The fields by which lines of the error log name a request."""
    return named_by(request.id, traceparent(request.environ))


def described(request: Request) -> dict[str, str]:
    """The same with what was asked for, for lines that are all about the request."""
    return {**named(request), "method": request.method, "target": request.target.decode("latin-1")}


def named_by(request_id: str, trace: str) -> dict[str, str]:
    return {"request": request_id, "traceparent": trace} if trace else {"request": request_id}
