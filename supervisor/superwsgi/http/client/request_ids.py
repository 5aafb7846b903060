"""Request ids: one a request, taken from a trusted peer's X-Request-ID or made here.

An id stands in the environ, in the response and in both logs, so that what a client or a proxy reports can be
found in them. It is unique, not secret.
"""

from __future__ import annotations

import re
import secrets
from itertools import count
from typing import Final

# What proxies make (UUIDs, hexadecimal, base64, HAProxy's %ci:%cp_%fi:%fp_%Ts_%rt:%pid), and nothing that a
# log, a URL or an application's SQL could stumble over.
REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._~:@+/=-]{1,128}")


class RequestIds:
    """Makes ids: a prefix that is random for each worker process, then a number.

    Make it after the fork: siblings would share a prefix. With 64 random bits, two of a million workers share
    one with a probability of 3 in 10^8.
    """

    __slots__ = ("_count", "_prefix")

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(8)
        self._count = count(1)

    def make(self) -> str:
        return f"{self._prefix}-{next(self._count)}"
