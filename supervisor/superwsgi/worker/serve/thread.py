"""A thread of the worker, as the others see it: what it has in hand and since when."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final
from weakref import WeakSet

from superwsgi.http.response.exchange import Exchange
from superwsgi.scoreboard import ThreadWriter
from superwsgi.worker.connection.alarm import NEVER
from superwsgi.worker.connection.connection import Connection

OURS: Final[WeakSet[threading.Thread]] = WeakSet()
"""The threads of all hands: nobody waits for these at the end of the process."""


class Hand:
    """One thread. `holds` and `lease` are the baton's (see baton.py).

    `slot` holds a token while a request is in the application; who pops it (the thread when the application
    returns, or the watch when it takes too long) decides how the request ends.
    """

    __slots__ = (
        "attended", "connection", "deadline", "exchange", "holds", "lease", "lent", "number", "record",
        "slot", "thread", "written_off",
    )  # fmt: skip

    def __init__(self, number: int, record: ThreadWriter, work: Callable[[Hand], None]) -> None:
        self.number = number
        self.record = record
        self.attended: Connection | None = None  # the one that it went on with last
        self.connection: Connection | None = None  # the one whose request is in the application
        self.exchange: Exchange | None = None
        self.deadline = NEVER  # for the application's next sign of life, monotonic ns
        self.slot: list[None] = []
        self.holds = False
        self.lease: list[None] = []
        self.lent = False
        self.written_off = False
        # No daemon: threads that the application starts in it would be daemons, too, and end with the worker.
        self.thread = threading.Thread(target=work, args=(self,), name=f"hand-{number}", daemon=False)
        OURS.add(self.thread)
