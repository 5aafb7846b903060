"""Where all threads of this process are right now. From any thread.

Where there is no GIL, the frame of a running thread must not be touched: it may be gone while it is read, and
the process crashes (CPython issue 152355). So this process's memory is then read as another process would
read it, by Python's own reader for debuggers. What that has found is right nearly always, and never a crash.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from contextlib import suppress
from traceback import FrameSummary, StackSummary
from typing import Any, Final

from superwsgi import build
from superwsgi.log.frames import DEEPEST, At

_READER: Final = "_remote_debugging"  # of Python 3.14; not for others, and so it may change


def where() -> dict[int, At]:
    """By thread, as threading.get_ident() has it. Empty where there is no GIL and nothing can be read."""
    if build.has_gil():
        return dict(sys._current_frames())
    found: dict[int, At] = {}
    with suppress(Exception):
        reader: Any = importlib.import_module(_READER)
        idents = {thread.native_id: thread.ident for thread in threading.enumerate()}
        for thread in reader.RemoteUnwinder(os.getpid(), all_threads=True).get_stack_trace():
            found[idents.get(thread.thread_id) or thread.thread_id] = _stack(thread.frame_info)
    return found


def _stack(innermost_first: list[Any]) -> StackSummary:
    frames = innermost_first[DEEPEST - 1 :: -1]
    return StackSummary.from_list(
        [FrameSummary(each.filename, each.lineno, each.funcname) for each in frames]
    )
