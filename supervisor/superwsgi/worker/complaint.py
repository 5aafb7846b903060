"""Warnings of which there could be a flood: said at once, then at most once a minute, with how many times.

Times are monotonic ns.
"""

from __future__ import annotations

from typing import Final

from superwsgi.log.error import ErrorLog
from superwsgi.worker.alarm import SECOND

SILENCE: Final = 60 * SECOND


class Complaint:
    """`event` of the error log."""

    __slots__ = ("_errors", "_event", "_silent_until", "_times")

    def __init__(self, errors: ErrorLog, event: str) -> None:
        self._errors = errors
        self._event = event
        self._silent_until = 0
        self._times = 0  # since it was said

    def make(self, now: int, **words: object) -> None:
        """It happened, again perhaps: `words` say how, this time."""
        self._times += 1
        if now < self._silent_until:
            return
        self._silent_until = now + SILENCE
        times, self._times = self._times, 0
        if times > 1:
            words["times"] = times
        self._errors.warning(self._event, "", **words)
