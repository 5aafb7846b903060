"""A thread of the worker, as the others see it: what it has in hand and since when."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Context
from typing import Any, Final
from weakref import WeakSet

from superwsgi.board.thread_record import InHandWriter, ThreadWriter
from superwsgi.http.errors import ClientGone
from superwsgi.http.request.rules import Gate
from superwsgi.http.request.trace import named
from superwsgi.http.response.exchange import Exchange
from superwsgi.http.response.hints import hints
from superwsgi.log.frames import At, application_stack
from superwsgi.system import procfs
from superwsgi.worker.connection.alarm import NEVER
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.states import Sending
from superwsgi.worker.threads.blocking import Expectation
from superwsgi.worker.threads.where import where

OURS: Final[WeakSet[threading.Thread]] = WeakSet()
"""The threads of all workers: the end of the process does not wait for these."""


UNKNOWN: Final = Expectation()

_here: Final[dict[int, WorkerThread]] = {}
"""By what threading.get_ident() says in them, which is another number in each greenlet."""


def request_in_hand() -> dict[str, str]:
    """The request that the calling thread works on, named for the log; nothing where it has none, or is none
    of ours."""
    thread = _here.get(threading.get_ident())
    if thread is None or thread.connection is None:
        return {}
    exchange = thread.connection.exchange
    return thread.abandoned if exchange is None else named(exchange.request)


def send_early_hints(fields: Any) -> None:
    """`wsgi.early_hints` of all requests, as Gunicorn has it: send 103 (RFC 8297) with `fields`, pairs of
    name and value, for the request that the calling thread works on. Nothing is sent by other threads, to
    HTTP/1.0 clients, or once the answer has begun. Raises WsgiError for what is no field."""
    data = hints(fields)
    thread: WorkerThread | None = _here.get(threading.get_ident())
    connection = None if thread is None else thread.connection
    exchange = None if connection is None else connection.exchange
    if connection is None or exchange is None or exchange.begun or exchange.request.version != "HTTP/1.1":
        return
    if data:
        with suppress(ClientGone):  # as its answer will find
            connection.sender.send_interim(data)


class WorkerThread:
    """One thread. `has_baton`, `lease`, `lent`, `bell`, `waiting`, `waiting_since`, `dismissed`,
    `expectation` and `waits` are the baton's (see baton.py).

    `token` has the exchange while a request is in the application; the side that takes it out (the thread
    when the application returns, or deadlines.py when it takes too long) decides how the request ends.
    """

    __slots__ = (
        "_python", "_work", "abandoned", "attended", "bell", "connection", "counts", "deadline", "dismissed",
        "expectation", "gates", "has_baton", "lease", "left", "lent", "number", "record", "token", "waiting",
        "waiting_since", "waits", "written_off",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        counts: ThreadWriter,
        work: Callable[[WorkerThread], None],
        record: InHandWriter | None = None,
    ) -> None:
        self.number = number
        self.counts = counts  # where its answers are counted
        self.record = counts if record is None else record  # has its request in hand
        self.attended: Connection | None = None  # the one that it is taking a step with
        self.connection: Connection | None = None  # the one whose request it has in the application
        self.deadline = NEVER  # when to look for the application's next sign of life, monotonic ns
        self.gates: tuple[Gate, ...] = ()  # of its rule, which the request in the application has passed
        self.token: list[Exchange] = []
        self.has_baton = False
        self.lease: list[None] = []
        self.lent = False
        self.bell = threading.Lock()  # released to wake it
        self.bell.acquire()
        self.waiting = False  # on the stack
        self.waiting_since = 0  # monotonic ns
        self.dismissed = False  # it has not been needed for long: it ends
        self.expectation = UNKNOWN  # of the request that it has in the application
        self.waits = -1  # how often it had waited before that, if that is to be known
        self.written_off = False
        self.left = False  # the client of its request has, and others go on in its place
        self.abandoned: dict[str, str] = {}  # the request that was ended without it, named
        self._work = work
        self._python: threading.Thread | None = None

    def start(self) -> None:
        """Raises RuntimeError if the system gives no more threads. It begins without context variables: in a
        free-threaded interpreter (sys.flags.thread_inherit_context) it would share those of the thread that
        starts it, with all that the application has left in them."""
        # Not a daemon: threads that the application starts from it would be daemons too, and die unfinished.
        python = threading.Thread(target=self.live, name=self.name, daemon=False)
        self._python = python
        OURS.add(python)
        Context().run(python.start)

    def live(self) -> None:
        """All that it does, from its start to its end."""
        here = threading.get_ident()
        _here[here] = self
        try:
            self._work(self)
        finally:
            del _here[here]

    def is_coming_back(self) -> bool:
        """Whether it is about to take the baton: it has just answered its client, or run nothing since."""
        connection = self.connection
        if self.waiting or self.has_baton or self.written_off:
            return False
        return connection is None or connection.sender.state is Sending.SENT

    @property
    def ident(self) -> int:
        """As threading.get_ident() in it; 0 before it runs."""
        return 0 if self._python is None else self._python.ident or 0

    @property
    def native_id(self) -> int:
        """As threading.get_native_id() in it; 0 before it runs."""
        return 0 if self._python is None else self._python.native_id or 0

    def is_alive(self) -> bool:
        return self._python is not None and self._python.is_alive()

    def end_request(self) -> None:
        """Its request has been ended in its place. A thread cannot be made to notice."""

    def awake(self) -> float | None:
        """Seconds that it has computed so far, or waited for a processor; None if that cannot be known."""
        native = self.native_id
        return procfs.awake(native) if native else None

    @property
    def name(self) -> str:
        return f"thread-{self.number}"

    @property
    def runs(self) -> bool:
        """Whether it is on its own in the system's thread that it has, or else the one that runs there."""
        return True

    def at(self, of_threads: Mapping[int, At]) -> At | None:
        """Where it is, given where the system's threads are."""
        return of_threads.get(self.ident)

    def stack(self) -> str:
        """What the application does in it right now."""
        at = self.at(where())
        return application_stack(at) if at is not None else ""
