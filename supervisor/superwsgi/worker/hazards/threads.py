"""Threads: a child has only the one that forked.

Native threads that end by themselves before a fork (pthread_atfork(3)), as OpenBLAS's do, are not a hazard.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Final

from superwsgi.log.frames import is_standard
from superwsgi.system import procfs
from superwsgi.worker import forks
from superwsgi.worker.hazards import finding
from superwsgi.worker.hazards.finding import Hazard
from superwsgi.worker.hazards.places import place

_BOOTSTRAP: Final = frozenset(
    {
        threading.Thread.run.__code__,
        threading.Thread._bootstrap.__code__,  # type: ignore[attr-defined]
        threading.Thread._bootstrap_inner.__code__,  # type: ignore[attr-defined]
    }
)
"""Functions of Python's own that every thread runs around its target."""

_SURVIVED: Final = frozenset(
    {
        # jemalloc, in pyarrow and others: its pthread_atfork(3) handlers switch the thread off in a child,
        # where the thread that frees memory returns it to the kernel itself.
        "jemalloc_bg_thd",
    }
)
"""Names of native threads that their library can do without in a child."""


def of_python() -> Iterator[Hazard]:
    """Threads that Python knows, by name and by the line that started them, or else by what they run."""
    threads = {thread.ident: thread for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        if ident != threading.get_ident():
            thread = threads.get(ident)
            name = f"thread {thread.name!r}" if thread is not None else "a thread without a name"
            runs = f" running {_runs(frame)}"
            yield Hazard(name, keys=(finding.thread(ident),), verb="started", otherwise=runs)


def _runs(frame: FrameType) -> str:
    """The function that a thread was started with: its place, or its name if it is Python's own."""
    code, module = frame.f_code, frame.f_globals.get("__name__")
    while frame.f_back is not None and frame.f_back.f_code not in _BOOTSTRAP:
        frame = frame.f_back
        code, module = frame.f_code, frame.f_globals.get("__name__")
    if is_standard(code.co_filename):
        return f"{module}.{code.co_name}"
    return place(code.co_filename, code.co_firstlineno)


def native() -> Iterator[Hazard]:
    """Threads of libraries written in other languages, which Python does not know, unless they end when this
    process forks."""
    unnamed = len(sys._current_frames()) - threading.active_count()  # Python's, but not of `threading`
    # Add our own: after a fork, `threading` still has the id from before.
    own = {threading.get_native_id(), *(thread.native_id for thread in threading.enumerate())}
    unknown = {*procfs.threads()} - own
    if len(unknown) <= unnamed:
        return
    _fork_in_vain()
    names = {task: _task_name(task) for task in unknown.intersection(procfs.threads())}
    left = [name for name in names.values() if name not in _SURVIVED]
    if len(left) > unnamed:
        named = sorted({*left} - {_task_name(os.getpid()), ""})
        of = f" ({', '.join(named)})" if named else ""
        yield from [Hazard(f"a thread of a native library{of}")] * (len(left) - unnamed)


def _task_name(task: int) -> str:
    """proc(5): a thread that its library did not name has the name of the process."""
    try:
        return Path(f"/proc/self/task/{task}/comm").read_text().strip()
    except OSError:  # it has just ended
        return ""


def _fork_in_vain() -> None:
    """Fork only to run the pthread_atfork(3) handlers."""
    forks.run_in_child(lambda: 0)
