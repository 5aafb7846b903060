"""The error log's and the access log's files. Only the master opens them, with the rights that it was
started with; molds and workers are sent descriptors.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass

from superwsgi.config.schema import Log
from superwsgi.log import files


@dataclass(slots=True)
class LogFiles:
    """Open descriptors; None for a log that is off."""

    settings: Log
    error: int | None
    access: int | None

    @classmethod
    def open(cls, settings: Log) -> LogFiles:
        """Raises superwsgi.log.files.LogTargetError."""
        error = files.open_target(settings.error, files.STDERR)
        try:
            return cls(settings, error, files.open_target(settings.access, files.STDOUT))
        except BaseException:
            if error is not None:
                os.close(error)
            raise

    def copy_of_error(self) -> int | None:
        """For the master's own lines, which go on when these files are closed."""
        return None if self.error is None else fcntl.fcntl(self.error, fcntl.F_DUPFD_CLOEXEC, 3)

    def descriptors(self) -> list[int]:
        """Those that there are, error log first."""
        return [fd for fd in (self.error, self.access) if fd is not None]

    def reopen(self) -> None:
        """Open the files anew, under the old numbers. Raises LogTargetError, the old files then stay."""
        anew = LogFiles.open(self.settings)
        for old, new in zip(self.descriptors(), anew.descriptors(), strict=True):
            os.dup2(new, old, inheritable=False)
        anew.close()

    def close(self) -> None:
        for fd in self.descriptors():
            os.close(fd)
