"""Where greenlets stand. Plain: the stack of each begins with a frame of Python's here, also in compiled
workers. So one that waits in C code is not taken for the one that runs, which alone shows no frame.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Set
from types import FrameType
from typing import Any

from greenlet import greenlet

from superwsgi.log.frames import At
from superwsgi.worker.threads.stacks import Standing
from superwsgi.worker.threads.thread import WorkerThread


def live(thread: WorkerThread) -> None:
    """All that the greenlet does that stands for this thread."""
    thread.live()


def place_of(one: Any, running: At | None) -> At | None:
    """Where a greenlet is; `running` is where the system's thread is that runs it. None for one that has not
    begun, or has ended."""
    if not one:
        return None
    frame: FrameType | None = one.gr_frame
    return running if frame is None else frame


def runs(one: Any) -> bool:
    return bool(one) and one.gr_frame is None


def alive() -> Iterator[Any]:
    """All greenlets. Of all objects only the type is looked at: isinstance() would make proxies look for what
    they stand for."""
    return (each for each in gc.get_objects() if issubclass(type(each), greenlet))


def of_the_application(known: Set[int], running: At | None) -> Iterator[Standing]:
    """Greenlets that the application has started itself: all but those that are `known` by their id()."""
    for one in alive():
        if id(one) not in known:
            at = place_of(one, running)
            if at is not None:
                yield Standing(id(one), getattr(one, "name", ""), at)
