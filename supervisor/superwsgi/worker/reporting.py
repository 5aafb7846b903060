"""Incidents of a mold or worker are reported to the master, which gives them a number, keeps them and writes
their lines. Nobody waits for it: what it does not take at once, the process logs itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from superwsgi.channel import Channel
from superwsgi.log.rate_limit import TokenBucket
from superwsgi.log.spelling import VALUE_LIMIT, encodable, plain_text
from superwsgi.messages import DETAIL_LIMIT, WentWrong

_BY_THE_MASTER: Final = 0


class Reporting:
    """What an ErrorLog reports to; from any thread."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._bucket = TokenBucket()

    def __call__(
        self, level: Any, _who: Mapping[str, object], event: str, fields: Mapping[str, object], detail: str
    ) -> int | None:
        if not self._bucket.take(time.monotonic_ns()):
            return None
        said = {name: encodable(plain_text(value))[:VALUE_LIMIT] for name, value in fields.items()}
        try:
            self._channel.offer(WentWrong(level, event, said, encodable(detail)[-DETAIL_LIMIT:]))
        except OSError:  # no room, no master
            return None
        return _BY_THE_MASTER
