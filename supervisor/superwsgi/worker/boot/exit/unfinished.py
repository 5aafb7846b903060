"""What is finished only when its object dies: a file whose last lines are still in memory, a dictionary on
the disk, a temporary file that disappears when it is closed. An interpreter frees all objects at its end; a
mold or a worker ends by os._exit, so it is done here, after the exit handlers, in the main thread.

The garbage collector knows the objects, except for those frozen by gc.freeze(): a mold notes these first,
because a worker that looked for them would copy all the memory that it shares.
"""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from superwsgi.worker.forks import flush
from superwsgi.worker.hazards.objects import alive


def _close(each: Any) -> None:
    with contextlib.suppress(Exception):
        each.close()


def _remove(closer: Any) -> None:
    """For tempfile: `cleanup` since Python 3.12, `close` before."""
    with contextlib.suppress(Exception):
        getattr(closer, "cleanup", closer.close)()


_FINISHERS: Final[dict[str, Callable[[Any], None]]] = {
    "shelve.Shelf": _close,
    "dbm.dumb._Database": _close,
    "_io.TextIOWrapper": flush,
    "gzip.GzipFile": _close,
    "_io.BufferedRandom": flush,
    "_io.BufferedWriter": flush,
}
"""By class name, in this order: an object that writes into another one goes first."""

_WRITERS: Final = {name: act for name, act in _FINISHERS.items() if act is flush}

_REMOVERS: Final = {"tempfile._TemporaryFileCloser": _remove}
"""For temporary files that have a name."""

_ALL: Final = {**_FINISHERS, **_REMOVERS}


def finish() -> None:
    """In a process that shares nothing: finish everything; in one that does, what was made since its fork."""
    _do(_ALL, alive(_ALL))


def thaw() -> None:
    """Let `finish` and `remove` see all objects of this process."""
    gc.unfreeze()


def remove() -> None:
    """In a mold whose workers are gone: remove what they left to it."""
    _do(_REMOVERS, alive(_REMOVERS))


def write() -> None:
    """Before a fork, in a process that goes on: write what is in memory, or each fork would write it too."""
    _do(_WRITERS, alive(_WRITERS))


class Unfinished:
    """The objects that are alive when this is made, before the first fork, with their data written out."""

    def __init__(self) -> None:
        found = alive(_ALL)
        _do(_WRITERS, found)
        self._found = {name: [weakref.ref(each) for each in found[name]] for name in _ALL}

    def finish(self) -> None:
        """In each fork: finish what it has written itself."""
        _do(_FINISHERS, self._alive())

    def remove(self) -> None:
        """In the last of the forks: remove what is to be removed."""
        _do(_REMOVERS, self._alive())

    def _alive(self) -> Mapping[str, list[Any]]:
        return {
            name: [each for ref in refs if (each := ref()) is not None] for name, refs in self._found.items()
        }


def _do(table: Mapping[str, Callable[[Any], None]], found: Mapping[str, Iterable[Any]]) -> None:
    for name, act in table.items():
        for each in found[name]:
            act(each)
