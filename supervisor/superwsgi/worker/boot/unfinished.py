"""What only the end of its object finishes: a file whose last lines are still in memory, a dictionary on the
disk, a temporary file that goes when it is closed. An interpreter that ends lets go of all objects; a mold or
a worker ends by os._exit, so it is done here, after the exit handlers, in the main thread.

The garbage collector knows the objects, except for those that were there at gc.freeze(): a mold notes them
before, because a worker that looked for them would copy all of the memory that it shares.
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
    """Of tempfile: `cleanup` since Python 3.12, before that `close`."""
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
"""By the name of the class, in this order: who writes into another one goes first."""

_WRITERS: Final = {name: act for name, act in _FINISHERS.items() if act is flush}

_REMOVERS: Final = {"tempfile._TemporaryFileCloser": _remove}
"""Of temporary files that have a name."""

_ALL: Final = {**_FINISHERS, **_REMOVERS}


def finish() -> None:
    """In a process that shares none of it, or of what was made since the fork in one that does."""
    _do(_ALL, alive(_ALL))


def thaw() -> None:
    """Have `finish` and `remove` see all that this process has."""
    gc.unfreeze()


def remove() -> None:
    """In a mold whose workers are gone: what they have left to it."""
    _do(_REMOVERS, alive(_REMOVERS))


def write() -> None:
    """Before a fork, in a process that goes on: each fork would write it again."""
    _do(_WRITERS, alive(_WRITERS))


class Unfinished:
    """What is alive when this is made, before the first fork, and written as far as it can be."""

    def __init__(self) -> None:
        found = alive(_ALL)
        _do(_WRITERS, found)
        self._found = {name: [weakref.ref(each) for each in found[name]] for name in _ALL}

    def finish(self) -> None:
        """In each fork, for what it has written itself."""
        _do(_FINISHERS, self._alive())

    def remove(self) -> None:
        """In the last of the forks."""
        _do(_REMOVERS, self._alive())

    def _alive(self) -> Mapping[str, list[Any]]:
        return {
            name: [each for ref in refs if (each := ref()) is not None] for name, refs in self._found.items()
        }


def _do(table: Mapping[str, Callable[[Any], None]], found: Mapping[str, Iterable[Any]]) -> None:
    for name, act in table.items():
        for each in found[name]:
            act(each)
