"""asyncio in many greenlets at once: async views (asgiref's async_to_sync, asyncio.run) work as in threads.

Which event loop runs, asyncio asks of the system's thread, and all greenlets are in one: while one of them
waits in its loop, another could start none ("cannot be called from a running event loop"), and Django would
refuse its queries. So what a thread keeps for asyncio changes with the greenlet, at each switch, from when
the first loop begins to run until none does; nobody else pays for it.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import events, tasks, unix_events
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import greenlet

Trace = Callable[[str, tuple[Any, Any]], object]

_running: Final = events._get_running_loop
_set_running: Final = events._set_running_loop

_TASK_OF_THREAD: Final = sys.version_info >= (3, 14)
"""Whether the task that runs is the thread's, too; before, it was the loop's."""


class _Suspended(NamedTuple):
    """Of a greenlet that is not running: what its thread has to have while it is."""

    loop: events.AbstractEventLoop
    hooks: Any  # sys.get_asyncgen_hooks()
    task: Any

    @classmethod
    def take(cls, loop: events.AbstractEventLoop) -> _Suspended:
        """From the thread, which has none of that afterwards."""
        task = _swap_task(loop, None) if _TASK_OF_THREAD else None
        kept = cls(loop, sys.get_asyncgen_hooks(), task)
        _set_running(None)
        sys.set_asyncgen_hooks(None, None)
        return kept

    def give_back(self) -> None:
        _set_running(self.loop)
        sys.set_asyncgen_hooks(*self.hooks)
        if self.task is not None:
            _swap_task(self.loop, self.task)


class _Follower:
    """Follows the switches of one thread while a loop runs in any greenlet of it; `before` is who did so
    already. It is called after each switch, in the greenlet that goes on.
    """

    def __init__(self, before: Trace | None) -> None:
        self._before = before
        self._kept: dict[Any, _Suspended] = {}

    def __call__(self, event: str, who: tuple[Any, Any]) -> None:
        left, goes_on = who
        loop = _running()
        if loop is not None:
            self._kept[left] = _Suspended.take(loop)
        kept = self._kept.pop(goes_on, None)
        if kept is not None:
            kept.give_back()
        if self._before is not None:
            self._before(event, who)
        if kept is None and not self._kept:
            greenlet.settrace(self._before)


def give_each_greenlet_its_own() -> None:
    """After gevent has patched, and before anything is imported that might keep a function of asyncio's."""
    events._set_running_loop = asyncio._set_running_loop = _set_running_and_follow
    # gevent may have waited for a child before asyncio opens it; gevent's os.waitpid knows nevertheless.
    unix_events.can_use_pidfd = lambda: False  # type: ignore[attr-defined, unused-ignore]


def _set_running_and_follow(loop: events.AbstractEventLoop | None) -> None:
    _set_running(loop)
    if loop is not None and not isinstance(before := greenlet.gettrace(), _Follower):
        greenlet.settrace(_Follower(before))


def _swap_task(loop: events.AbstractEventLoop, task: Any) -> Any:
    return tasks._swap_current_task(loop, task)  # type: ignore[attr-defined, unused-ignore]
