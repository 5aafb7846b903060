"""Exit handlers: what an application has registered, with `atexit` and `weakref.finalize`, for the end of its
process. Runs in the main thread of a mold and of its workers.

Forked processes share what the import created outside of memory, a temporary folder for example: the first
one to remove it at its end would take it from all the others. So a handler that removes something
(removers.py) runs once, in the last of the processes that share it; any other, such as the flush of a log,
runs in every worker. Objects that no handler finishes follow (unfinished.py), by the same rule.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import os
import weakref
from typing import Any, Final

from superwsgi import unpatched
from superwsgi.worker.boot.exit import unfinished
from superwsgi.worker.boot.exit.removers import Handler, named, removes

_KNOWS: Final = frozenset({"multiprocessing.util._exit_function", "weakref.finalize._exitfunc"})
"""What else may run in the mold: these end only what the mold itself made, or what was left to it."""


def run() -> None:
    """In a process that shares nothing: run all registered handlers, in the interpreter's own order."""
    atexit._run_exitfuncs()
    unfinished.thaw()
    unfinished.finish()


def run_removers() -> None:
    """In a mold whose workers are gone: run what they left to it, and nothing else."""
    for handler in _registered():
        if not removes(handler) and not named(handler, _KNOWS):
            atexit.unregister(handler)
    for finalizer in _finalizers():
        finalizer.atexit = _removes_at_exit(finalizer)
    atexit._run_exitfuncs()
    unfinished.thaw()
    unfinished.remove()


class Siblings:
    """A mold and its workers; the last of them removes what they share. Made before the first fork.

    All of them hold a pipe open, by which the last one learns that the others are gone, however they ended.
    The process that reads the one byte from it removes: the mold, or the last worker if the mold was killed.
    """

    def __init__(self, *, removing: bool) -> None:
        """Not `removing` if the process that they were forked from does that itself. Raises OSError."""
        self._others, self._here = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.write(self._here, b"1" * removing)
        self._inherited: list[functools.partial[object]] = []
        self._unfinished = unfinished.Unfinished()
        self.sort_out()

    def sort_out(self) -> None:
        """In the mold, whenever there may be more: find what workers should leave to the others. Not in each
        worker, nor at each fork: looking at memory copies it (200 KB)."""
        self._handlers = [*filter(removes, _registered())]
        self._finalizers = [*filter(_removes_at_exit, _finalizers())]

    def leave(self) -> None:
        """In a worker: leave what existed at its fork for the others to remove; what it makes is its own."""
        for handler in self._handlers:
            atexit.unregister(handler)
        for finalizer in self._finalizers:
            detached = finalizer.detach()
            if detached is not None:
                _, function, args, kwargs = detached
                self._inherited.append(functools.partial(function, *args, **(kwargs or {})))
        gc.freeze()  # what is made from now on is its own

    def end_worker(self) -> None:
        """In a worker: run its own handlers; and if its mold was killed and it is the last process, remove
        what only the last one may."""
        atexit._run_exitfuncs()
        self._unfinished.finish()
        unfinished.finish()
        self._be_gone()
        if self._wait(0) and self._take():
            for remove in self._inherited:
                with contextlib.suppress(Exception):
                    remove()
            self._unfinished.remove()

    def close_in_child(self) -> None:
        """In a child that the application forked: nobody waits for it, as it ends with its worker."""
        self._be_gone()
        unpatched.close(self._others)

    def outlast(self) -> bool:
        """In the mold: wait until all workers have ended. Whether the mold is the one that removes."""
        self._be_gone()
        return self._take() and self._wait(None)

    def _be_gone(self) -> None:
        here, self._here = self._here, -1
        if here >= 0:
            unpatched.close(here)

    def _wait(self, timeout: int | None) -> bool:
        """Whether all others end within `timeout` ms (None: wait forever)."""
        watched = unpatched.poll()
        watched.register(self._others, 0)  # POLLHUP is always reported
        return bool(watched.poll(timeout))

    def _take(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            return bool(os.read(self._others, 1))
        return False


def _removes_at_exit(finalizer: weakref.finalize[Any, Any]) -> bool:
    alive = finalizer.peek()
    return bool(finalizer.atexit) and alive is not None and removes(alive[1])


def _finalizers() -> list[weakref.finalize[Any, Any]]:
    """The live ones, newest first."""
    registry: dict[weakref.finalize[Any, Any], Any] = getattr(weakref.finalize, "_registry", {})
    return sorted(registry, key=lambda finalizer: registry[finalizer].index, reverse=True)


class _Listing:
    """Equal to nothing, but notes what it is compared with: unregistering it reveals all handlers."""

    def __init__(self) -> None:
        self.seen: list[Handler] = []

    def __eq__(self, other: object) -> bool:
        self.seen.append(other)  # type: ignore[arg-type]
        return False

    __hash__ = object.__hash__


def _registered() -> list[Handler]:
    """The functions registered with `atexit`, which offers no list of them."""
    listing = _Listing()
    atexit.unregister(listing)  # type: ignore[arg-type]
    return listing.seen
