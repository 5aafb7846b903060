"""Where threads are started, while a mold imports the application: the line that a developer looks for.

The interpreter tells it (sys.monitoring, Python 3.12 and later); nothing is replaced or wrapped, and no other
function runs slower for it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import CodeType, FrameType
from weakref import WeakKeyDictionary

from superwsgi.log.frames import is_library

Places = Mapping[threading.Thread, str]
"""`shop/metrics.py:12` by the thread that was started there."""

_NO_KNOWN_USE = (3, 4)
"""Of the six tools that the interpreter has room for: the others are for debuggers, coverage and the like."""


@contextmanager
def thread_starts() -> Iterator[Places]:
    """Note who calls Thread.start(). Knows nothing before Python 3.12, or where others use all of it."""
    places: WeakKeyDictionary[threading.Thread, str] = WeakKeyDictionary()

    def note(_code: CodeType, _offset: int) -> None:
        frame = sys._getframe(1)
        thread, caller = frame.f_locals["self"], _caller(frame)
        if caller is not None:
            places[thread] = place(caller.f_code.co_filename, caller.f_lineno)

    if sys.version_info < (3, 12):
        yield places
        return
    monitoring, start = sys.monitoring, threading.Thread.start.__code__
    tool = next((tool for tool in _NO_KNOWN_USE if monitoring.get_tool(tool) is None), None)
    if tool is None:
        yield places
        return
    monitoring.use_tool_id(tool, "superwsgi")
    monitoring.register_callback(tool, monitoring.events.PY_START, note)
    monitoring.set_local_events(tool, start, monitoring.events.PY_START)
    try:
        yield places
    finally:
        monitoring.set_local_events(tool, start, monitoring.events.NO_EVENTS)
        monitoring.register_callback(tool, monitoring.events.PY_START, None)
        monitoring.free_tool_id(tool)


def _caller(start: FrameType) -> FrameType | None:
    """The nearest caller that is in no library, or else the nearest."""
    caller = start.f_back
    while caller is not None and is_library(caller.f_code.co_filename):
        caller = caller.f_back
    return caller or start.f_back


def place(filename: str, line: int) -> str:
    """`shop/metrics.py:12`, from the working folder where it is below."""
    below = os.path.relpath(filename)
    return f"{filename if below.startswith('..') else below}:{line}"
