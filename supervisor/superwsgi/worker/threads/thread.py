"""A thread of the worker, as the others see it: what it has in hand and since when."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Final
from weakref import WeakSet

from superwsgi.board.scoreboard import ThreadWriter
from superwsgi.http.request.trace import named
from superwsgi.log.frames import application_stack
from superwsgi.system import procfs
from superwsgi.worker.connection.alarm import NEVER
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.states import Sending

OURS: Final[WeakSet[threading.Thread]] = WeakSet()
"""The threads of all workers: the end of the process does not wait for these."""


_HERE: Final = threading.local()


def request_in_hand() -> dict[str, str]:
    """The request that the calling thread works on, named for the log; nothing where it has none, or is none
    of ours."""
    thread: WorkerThread | None = getattr(_HERE, "thread", None)
    if thread is None or thread.connection is None:
        return {}
    exchange = thread.connection.exchange
    return thread.abandoned if exchange is None else named(exchange.request)


class WorkerThread:
    """One thread. `has_baton`, `lease`, `lent`, `bell`, `waiting`, `waiting_since` and `dismissed` are the
    baton's (see baton.py).

    `token` has one item while a request is in the application; the side that pops it (the thread when the
    application returns, or deadlines.py when it takes too long) decides how the request ends.
    """

    __slots__ = (
        "_python", "_work", "abandoned", "attended", "bell", "connection", "deadline", "dismissed",
        "has_baton", "lease", "lent", "number", "record", "token", "waiting", "waiting_since", "written_off",
    )  # fmt: skip

    def __init__(self, number: int, record: ThreadWriter, work: Callable[[WorkerThread], None]) -> None:
        self.number = number
        self.record = record
        self.attended: Connection | None = None  # the one that it is taking a step with
        self.connection: Connection | None = None  # the one whose request it has in the application
        self.deadline = NEVER  # when to look for the application's next sign of life, monotonic ns
        self.token: list[None] = []
        self.has_baton = False
        self.lease: list[None] = []
        self.lent = False
        self.bell = threading.Lock()  # released to wake it
        self.bell.acquire()
        self.waiting = False  # on the stack
        self.waiting_since = 0  # monotonic ns
        self.dismissed = False  # it has not been needed for long: it ends
        self.written_off = False
        self.abandoned: dict[str, str] = {}  # the request that was ended without it, named
        self._work = work
        # Not a daemon: threads that the application starts from it would be daemons too, and die unfinished.
        self._python = threading.Thread(target=self._live, name=f"thread-{number}", daemon=False)
        OURS.add(self._python)

    def start(self) -> None:
        """Raises RuntimeError if the system gives no more threads."""
        self._python.start()

    def _live(self) -> None:
        _HERE.thread = self
        self._work(self)

    def is_coming_back(self) -> bool:
        """Whether it is about to take the baton: it has just answered its client, or run nothing since."""
        connection = self.connection
        if self.waiting or self.has_baton or self.written_off:
            return False
        return connection is None or connection.sender.state is Sending.SENT

    @property
    def ident(self) -> int:
        """As threading.get_ident() in it; 0 before it runs."""
        return self._python.ident or 0

    @property
    def native_id(self) -> int:
        """As threading.get_native_id() in it; 0 before it runs."""
        return self._python.native_id or 0

    def is_alive(self) -> bool:
        return self._python.is_alive()

    def awake(self) -> float | None:
        """Seconds that it has computed so far, or waited for a processor; None if that cannot be known."""
        native = self._python.native_id
        return None if native is None else procfs.awake(native)

    def stack(self) -> str:
        """What the application does in it right now."""
        frame = sys._current_frames().get(self.ident)
        return application_stack(frame) if frame is not None else ""
