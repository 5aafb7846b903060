"""Log files that the master has opened anew."""

from __future__ import annotations

from collections.abc import Sequence

from superwsgi.log.access import AccessLog
from superwsgi.log.error import ErrorLog
from superwsgi.log.writer import Sink
from superwsgi.messages import Reopen


def take_log_files(
    message: Reopen, fds: Sequence[int], errors: ErrorLog, access: AccessLog | Sink | None
) -> None:
    """Put the files that came with `message` in place of the old ones, under the old numbers."""
    logs = [errors] * message.error_log + [access] * message.access_log
    for log, fd in zip(logs, fds, strict=True):
        if log is not None:
            log.reopen(fd)
