"""The end of a worker: what the interpreter does at its exit, but with a time limit.

A worker ends by os._exit, because a stuck thread must not keep it alive. What the interpreter would do first
is done here, in the same order: the exit functions of `threading`, which end the pools of concurrent.futures;
waiting for non-daemon threads; `atexit`, which ends the children of multiprocessing. In the main thread.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

from superwsgi.apps import patching
from superwsgi.log.error import ErrorLog
from superwsgi.log.frames import stack_since_ours
from superwsgi.worker.threads.thread import OURS

LEAST: Final = 1.0
"""Minimum seconds for the last step, however long the rest has taken: most of it is quick tidying up."""

FAST: Final = 1.8
"""Seconds for all of it if the worker is to end at once: the master kills it after two."""

_BRIEF: Final = 0.3
"""Minimum seconds for the steps before that, and between two cuts."""

_CUTS: Final = 4
"""After this many the process ends, whatever is left to do."""

_STUCK: Final = 5.0
"""Seconds after the deadline at which the process is ended from outside Python: something holds the GIL."""


class TimeUp(BaseException):
    """Raised wherever the main thread is waiting; not for an application to catch."""

    def __init__(self) -> None:
        super().__init__("timeouts.graceful is over")


class WindUp:
    """Everything should be done within `seconds`. Whatever takes longer is cut short and named in `errors`;
    `give_up` is called before the process ends with something left undone. `stacks` is a descriptor for
    faulthandler."""

    def __init__(self, errors: ErrorLog, stacks: int, seconds: float, give_up: Callable[[], object]) -> None:
        self._errors = errors
        self._stacks = stacks
        self._end = time.monotonic() + seconds
        self._give_up = give_up
        self._cuts = 0

    def do(self, *works: Callable[[], object]) -> None:
        """Run them one after the other, leaving time for the last one."""
        with self._limited(max(_BRIEF, self._end - time.monotonic() - LEAST)):
            for work in works:
                self._try(work)

    def do_last(self, work: Callable[[], object]) -> None:
        with self._limited(max(LEAST, self._end - time.monotonic())):
            self._try(work)

    def end_threads(self) -> None:
        """Wait for non-daemon threads, and end pools: as the interpreter does before `atexit`."""
        for function in reversed(threading._threading_atexits):  # type: ignore[attr-defined]
            function()
        while waited_for := _threads():
            waited_for[0].join()

    @contextlib.contextmanager
    def _limited(self, seconds: float) -> Iterator[None]:
        """A time limit by SIGALRM, whose handler interrupts any wait."""
        signal.signal(signal.SIGALRM, self._cut)
        patching.leave_to_main(TimeUp)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
        # Not to sys.stderr, which applications replace by objects without a descriptor.
        faulthandler.dump_traceback_later(seconds + _STUCK, exit=True, file=self._stacks)
        before, sys.unraisablehook = sys.unraisablehook, _told_already(sys.unraisablehook)
        signal.setitimer(signal.ITIMER_REAL, seconds, _BRIEF)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            sys.unraisablehook = before
            faulthandler.cancel_dump_traceback_later()

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except TimeUp:
            pass
        except BaseException as error:
            self._errors.fault("error at the end", error, next="ending anyway")

    def _cut(self, _number: int, frame: FrameType | None) -> None:
        self._cuts += 1
        self._errors.warning(
            "end cut short",
            stack_since_ours(frame),
            waited_for=", ".join(_waited_for()) or "see the stack below",
            reason="timeouts.graceful",
            next="ending",
        )
        if self._cuts == _CUTS:
            self._give_up()
            os._exit(0)
        raise TimeUp


def _threads() -> list[threading.Thread]:
    """The application's threads that the interpreter would wait for."""
    ours = {threading.current_thread(), threading.main_thread(), *OURS}
    return [each for each in threading.enumerate() if not each.daemon and each not in ours]


def _waited_for() -> Iterator[str]:
    """What the end is waiting for, as far as that is known."""
    for thread in _threads():
        yield f"thread {thread.name!r}"
    processes = sys.modules.get("multiprocessing.process")
    for process in getattr(processes, "_children", ()):
        yield f"process {process.name!r} (pid {process.pid})"


def _told_already(otherwise: Callable[[Any], object]) -> Callable[[Any], object]:
    """`atexit` reports here what its functions raise, and goes on; TimeUp is in the log already."""
    return lambda unraisable: unraisable.exc_type is TimeUp or otherwise(unraisable)
