"""What the error log says of files that were not sent: at most once a minute, since clients ask again.

Wrappers are made where the application is imported, perhaps in a mold, and speak in the worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from superwsgi.log.error import ErrorLog
from superwsgi.log.rate_limit import Complaint

_logs: Final[list[ErrorLog]] = []


def log_to(errors: ErrorLog) -> None:
    """From now on; before, nothing is said."""
    _logs[:] = [errors]


def _say(event: str, detail: str, **words: object) -> None:
    for errors in _logs:
        errors.warning(event, detail, **words)


def _mistake(event: str, detail: str, **words: object) -> None:
    """What an application does wrong in a request is no incident."""
    for errors in _logs:
        errors.notice(event, detail, level="error", **words)


_complaints: Final[dict[tuple[str, str], Complaint]] = {}
_REASONS: Final = 100


def not_sent(path: str, file: str, reason: str, then: str) -> None:
    """A file in a folder of `static`, which a client has asked for by `path`."""
    _complain(_say, "static file not sent", path=path, file=file, reason=reason, next=then)


def not_found(path: str, field: str, value: str, reason: str, then: str) -> None:
    """A file that the application has named in a field of its response."""
    _complain(
        _mistake, "file not sent", path=path, field=field.title(), value=value, reason=reason, next=then
    )


def _complain(say: Callable[..., None], event: str, **words: str) -> None:
    """Each reason by itself."""
    if len(_complaints) > _REASONS:
        _complaints.clear()
    complaint = _complaints.setdefault((event, words["reason"]), Complaint(say, event))
    complaint.make(time.monotonic_ns(), **words)


def not_closed(error: BaseException) -> None:
    """The close() of a response whose body was not sent."""
    for errors in _logs:
        errors.exception("close() failed", error)
