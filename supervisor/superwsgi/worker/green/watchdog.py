"""Names the request that stalls all others of its worker: its code computes and never waits, or waits in C
code of which gevent knows nothing. Nothing else can run in that thread meanwhile, so this has its own.

The hub is asked for a sign of life again and again. Where two looks find none, and the same request, that is
told, once. Nobody is ended here: the master ends the worker, when its heartbeat has failed to come for long.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from superwsgi import unpatched
from superwsgi.http.request.trace import described
from superwsgi.http.response.exchange import Exchange
from superwsgi.log.error import ErrorLog
from superwsgi.log.frames import application_stack
from superwsgi.log.spelling import duration
from superwsgi.system import procfs
from superwsgi.worker.connection.alarm import SECOND
from superwsgi.worker.threads.sampler import cpu_time
from superwsgi.worker.threads.thread import WorkerThread

TICK: Final = 0.5
LOOKS: Final = 2
"""So many, so many seconds apart, without a sign of life. One alone would find none in a process that was
stopped for a while, either."""

_AWAKE: Final = 0.5
"""The share of its time that code computes, or waits for a processor, if it waits for nothing else."""

_COMPUTED: Final = 0.3
"""Seconds of CPU: below, it is the machine that is too busy, and not the code that computes for long."""

_COMPUTING: Final = (
    "if it cannot but compute: time.sleep(0) in between, gevent.get_hub().threadpool.apply(f), a companion, "
    "or a site of its own with threads instead of green"
)
_WAITING: Final = (
    "if it waits for a server: a library in Python alone, which gevent can patch, or threads instead of green"
)


class Watchdog:
    """Made in the thread of this `hub`, whose greenlets that are `serving` it watches."""

    def __init__(self, errors: ErrorLog, hub: Any, serving: Callable[[], Iterable[WorkerThread]]) -> None:
        self._errors = errors
        self._hub = hub
        self._serving = serving
        self._native = unpatched.get_native_id()
        self._missed = 0  # looks without a sign of life
        self._awake: float | None = None  # as procfs.awake has it, at the last sign of life
        self._cpu = 0  # ns that the thread had computed then
        self._told = False
        self._seen: Exchange | None = None  # whose code ran at the last look
        self._answered = True
        self._ended = False

    def start(self) -> None:
        """Raises RuntimeError if the system gives no more threads."""
        unpatched.NativeThread(self._live, "superwsgi-watchdog").start()

    def end(self) -> None:
        self._ended = True

    def _live(self) -> None:
        while not self._ended:
            self._look()
            unpatched.sleep(TICK)

    def _look(self) -> None:
        if self._answered:
            self._answered, self._told, self._missed = False, False, 0
            self._awake, self._cpu = procfs.awake(self._native), cpu_time(self._native)
            self._hub.loop.run_callback_threadsafe(self._answer)
            return
        self._missed += 1
        seen, thread = self._seen, next((each for each in self._serving() if each.runs), None)
        self._seen = None if thread is None or thread.connection is None else thread.connection.exchange
        if self._missed >= LOOKS and self._seen is seen and not self._told:
            self._tell(self._seen)

    def _answer(self) -> None:
        """Called by the hub."""
        self._answered = True

    def _tell(self, exchange: Exchange | None) -> None:
        frame = sys._current_frames().get(self._hub.thread_ident)
        stack = application_stack(frame) if frame is not None else ""
        computes = self._computes()
        lacks_cpu = computes and cpu_time(self._native) - self._cpu < _COMPUTED * SECOND
        if not stack or self._answered or lacks_cpu:
            return
        self._told = True
        how, then = ("has computed", _COMPUTING) if computes else ("blocks", _WAITING)
        who: dict[str, object] = {}
        if exchange is not None:
            seconds = round((time.monotonic_ns() - exchange.began) / SECOND, 1)
            who = {**described(exchange.request), "seconds": seconds}
        what, lasts = "request" if who else "greenlet", duration(self._missed * TICK)
        reason = f"its code {how} for {lasts}, and no other greenlet can run before it waits"
        self._errors.warning(f"{what} stalls its worker", stack, **who, reason=reason, next=then)

    def _computes(self) -> bool:
        """Whether it has since the last sign of life, or would have, had it a processor."""
        awake = procfs.awake(self._native)
        return awake is None or self._awake is None or awake - self._awake > _AWAKE * self._missed * TICK
