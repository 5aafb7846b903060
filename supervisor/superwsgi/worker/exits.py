"""Exit handlers: what an application has registered, by `atexit` and `weakref.finalize`, for the end of its
process. Runs in the main thread of a mold and of its workers.

Forked processes share what the import has made outside of memory, a temporary folder say, and who removes it
at its own end takes it from all the others. So what is in REMOVERS, or calls one of them, runs once, when the
last process that shares what it removes is gone; anything else, the flush of a log say, in every worker.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import pathlib
import select
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any, Final

Handler = Callable[..., object]

REMOVERS: Final[frozenset[object]] = frozenset(
    {
        shutil.rmtree,  # matplotlib, for its settings where HOME cannot be written
        os.remove,
        os.unlink,  # a pid file
        os.rmdir,
        os.removedirs,
        pathlib.Path.unlink,
        pathlib.Path.rmdir,
        tempfile.TemporaryDirectory.cleanup,
        tempfile.TemporaryDirectory._cleanup.__func__,  # type: ignore[attr-defined]
        contextlib.ExitStack.close,  # files of a package, as importlib.resources' documentation has it
    }
)
"""Functions that remove what other processes may still use."""

_BY_NAME: Final = frozenset({"certifi.core.exit_cacert_ctx"})  # the certificates of a zipped package
_CALLS: Final = frozenset({"rmtree", "unlink", "rmdir", "removedirs"})
_KNOWS: Final = frozenset({"multiprocessing.util._exit_function", "weakref.finalize._exitfunc"})
"""What may run in the mold besides: each ends what this very process has made, or was left by us."""


def run() -> None:
    """All that is registered in this process, in the order of an interpreter that ends."""
    atexit._run_exitfuncs()


def run_removers() -> None:
    """Of all that is registered in a mold, what its workers have left to it."""
    for handler in _registered():
        if not removes(handler) and not _named(handler, _KNOWS):
            atexit.unregister(handler)
    for finalizer in _finalizers():
        finalizer.atexit = _removes_at_exit(finalizer)
    run()


class Shared:
    """What the workers of one mold and the mold itself remove together. Made before the first fork.

    A pipe that all of them have open tells when one is the last, however the others have ended. Who takes the
    byte that is in it removes: the mold, or the last worker where there is no mold any more.
    """

    def __init__(self, *, removing: bool) -> None:
        """Where they are not `removing`, the process does so that they were forked from. Raises OSError."""
        self._others, self._here = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.write(self._here, b"1" * removing)
        self._inherited: list[functools.partial[object]] = []

    def leave(self) -> None:
        """In a worker: what there is to remove by now is not its own to remove. What it makes later is."""
        for handler in filter(removes, _registered()):
            atexit.unregister(handler)
        for finalizer in filter(_removes_at_exit, _finalizers()):
            detached = finalizer.detach()
            if detached is not None:
                _, function, args, kwargs = detached
                self._inherited.append(functools.partial(function, *args, **(kwargs or {})))

    def end_worker(self) -> None:
        """Remove what only the last process may, where that is this one: its mold was killed."""
        self._be_gone()
        if self._wait(0) and self._take():
            for remove in self._inherited:
                with contextlib.suppress(Exception):
                    remove()

    def let_go(self) -> None:
        """In a child that the application forked: it is ended with its worker, and not waited for."""
        self._be_gone()
        os.close(self._others)

    def outlast(self) -> bool:
        """In the mold: wait for the last of the others; whether it is for us to remove then."""
        self._be_gone()
        return self._take() and self._wait(None)

    def _be_gone(self) -> None:
        here, self._here = self._here, -1
        if here >= 0:
            os.close(here)

    def _wait(self, timeout: int | None) -> bool:
        """Whether all others have ended, within `timeout` ms."""
        watched = select.poll()
        watched.register(self._others, 0)  # POLLHUP is always told
        return bool(watched.poll(timeout))

    def _take(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            return bool(os.read(self._others, 1))
        return False


def removes(handler: Handler) -> bool:
    """Whether it removes something: by itself, or by a call that can be read in it."""
    function = _function(handler)
    try:
        known = function in REMOVERS
    except TypeError:  # unhashable
        known = False
    return known or _named(function, _BY_NAME) or (isinstance(function, FunctionType) and _calls(function))


def _function(handler: Any) -> Any:
    """What a method, or a partial, calls in the end."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    return getattr(handler, "__func__", handler)


def _named(handler: Handler, names: frozenset[str]) -> bool:
    return f"{getattr(handler, '__module__', '')}.{getattr(handler, '__qualname__', '')}" in names


def _calls(function: FunctionType) -> bool:
    """Whether its code names one of the removers, or the clean-up of a temporary folder."""
    names = set(_names(function.__code__))
    if names & _CALLS or {"os", "remove"} <= names:
        return True
    return "cleanup" in names and any(
        isinstance(function.__globals__.get(name), tempfile.TemporaryDirectory) for name in names
    )


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _removes_at_exit(finalizer: weakref.finalize[Any, Any]) -> bool:
    alive = finalizer.peek()
    return bool(finalizer.atexit) and alive is not None and removes(alive[1])


def _finalizers() -> list[weakref.finalize[Any, Any]]:
    """Those that are alive, the last one first."""
    registry: dict[weakref.finalize[Any, Any], Any] = getattr(weakref.finalize, "_registry", {})
    return sorted(registry, key=lambda finalizer: registry[finalizer].index, reverse=True)


class _Listing:
    """Equal to nothing; notes what it is compared with, which is what unregistering it comes to."""

    def __init__(self) -> None:
        self.seen: list[Handler] = []

    def __eq__(self, other: object) -> bool:
        self.seen.append(other)  # type: ignore[arg-type]
        return False

    __hash__ = object.__hash__


def _registered() -> list[Handler]:
    """The functions that `atexit` has, which it tells nobody."""
    listing = _Listing()
    atexit.unregister(listing)  # type: ignore[arg-type]
    return listing.seen
