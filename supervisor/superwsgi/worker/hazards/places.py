"""Where things are made while an application is imported: the line that a developer looks for.

The functions that make them, in the table at the end, are wrapped during the import. A wrapper calls the
function and notes what it has made. Code that has kept a wrapper (`from os import pipe`) keeps it; after the
import the wrapper only calls. An audit hook could never be removed, and would cost each id() and open() of
the workers 150 ns forever.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any, Final

from superwsgi.log.frames import is_installed, is_library
from superwsgi.worker.hazards import finding, memory, reading
from superwsgi.worker.hazards.finding import Key

_Arguments = tuple[Any, ...]
_Look = Callable[[Any], Iterable[Key]]
"""From what was made to the keys that identify it."""

_Watch = Callable[[_Arguments], _Look]
"""Called with the arguments before the wrapped function is."""


class Places:
    """Places such as `shop/metrics.py:12`, by what was made there."""

    def __init__(self) -> None:
        self._lines: dict[Key, tuple[str, int] | None] = {}
        self.recording = True

    def of(self, keys: Iterable[Key]) -> str | None:
        """The place of the first of `keys` that is known."""
        line = next((line for key in keys if (line := self._lines.get(key))), None)
        return place(*line) if line is not None else None

    def note(self, keys: Iterable[Key]) -> None:
        """Record `keys` as made by the caller."""
        self._lines.update(dict.fromkeys(keys, _here(sys._getframe(1))))


@contextmanager
def recorded() -> Iterator[Places]:
    """Record where things are made until the block ends."""
    places = Places()
    with ExitStack() as stack:
        for path, watch in _MAKERS.items():
            owner, name = _resolve(path)
            if hasattr(owner, name):
                stack.enter_context(_wrapped(owner, name, watch, places))
        stack.callback(setattr, places, "recording", False)
        yield places


def place(filename: str, line: int) -> str:
    """`shop/metrics.py:12`."""
    return f"{shown(filename)}:{line}"


def shown(filename: str) -> str:
    """Relative to the working folder if it is below it."""
    try:
        below = os.path.relpath(filename)
    except FileNotFoundError:  # the working folder has been removed
        return filename
    return filename if below.startswith("..") else below


def _here(frame: FrameType | None) -> tuple[str, int] | None:
    """The nearest caller in the application, or else in a library that is not Python's own."""
    nearest = None
    while frame is not None:
        filename = frame.f_code.co_filename
        if not is_library(filename):
            return filename, frame.f_lineno
        if nearest is None and is_installed(filename):
            nearest = filename, frame.f_lineno
        frame = frame.f_back
    return nearest


# Wrapping.


class _Wrapper:
    """Replaces a function written in C: like one, and unlike a Python function, it does not become a method
    when it is an attribute of a class."""

    def __init__(self, function: Callable[..., Any], watch: _Watch, places: Places) -> None:
        self._function = function
        self._watch = watch
        self._places = places

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._places.recording:
            return self._function(*args, **kwargs)
        look = self._watch(args)
        made = self._function(*args, **kwargs)
        with contextlib.suppress(Exception):  # an application may have put anything in place of anything
            self._places.note(look(made))
        return made

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._function.__reduce_ex__(protocol)  # a copy of a function is the function itself

    def as_method(self) -> Callable[..., Any]:
        return lambda *args, **kwargs: self(*args, **kwargs)


@contextmanager
def _wrapped(owner: Any, name: str, watch: _Watch, places: Places) -> Iterator[None]:
    function = getattr(owner, name)
    wrapper = _Wrapper(function, watch, places)
    ours = wrapper.as_method() if name == "__init__" else wrapper
    setattr(owner, name, ours)
    try:
        yield
    finally:
        if vars(owner).get(name) is ours:  # not replaced by somebody else meanwhile
            setattr(owner, name, function)


def _resolve(path: str) -> tuple[Any, str]:
    """The owner of what `path` names, and its name there. Modules written in C are imported, because others
    may copy from them later; other modules count only if they have been imported already."""
    module, *names, name = path.split(".")
    with contextlib.suppress(ImportError):  # Python can be built without this module
        owner = importlib.import_module(module) if module.startswith("_") else sys.modules.get(module)
        for each in names:
            owner = getattr(owner, each, None)
        return owner, name
    return None, name


# What to look at, for each wrapped function.


def _descriptors(_: _Arguments) -> _Look:
    """What was made is a descriptor, has one, or is several."""

    def look(made: Any) -> Iterator[Key]:
        for each in made if isinstance(made, tuple) else (made,):
            yield from finding.descriptor(each if isinstance(each, int) else each.fileno())

    return look


def _first_argument(arguments: _Arguments) -> _Look:
    """For a constructor, the first argument is what was made."""
    return lambda _: _descriptors(())(arguments[0])


def _new_files(_: _Arguments) -> _Look:
    """For results that do not tell which files they have opened."""
    before = {each.identity for each in reading.all_open()}

    def look(_: Any) -> Iterator[Key]:
        for each in reading.all_open():
            if each.is_file and each.identity not in before:
                yield from finding.descriptor(each.fd)

    return look


def _new_mappings(_: _Arguments) -> _Look:
    before = set(memory.shared())
    return lambda _: [finding.mapping(*each.identity) for each in memory.shared() if each not in before]


def _processes(_: _Arguments) -> _Look:
    """forkpty(3) also returns a descriptor, which is not one in the child."""

    def look(made: Any) -> Iterator[Key]:
        pid, *fds = made if isinstance(made, tuple) else (made,)
        yield finding.process(pid)
        if pid:
            yield from _descriptors(())(tuple(fds))

    return look


def _threads(_: _Arguments) -> _Look:
    return lambda made: [finding.thread(made if isinstance(made, int) else made.ident)]


def _locks(arguments: _Arguments) -> _Look:
    file = arguments[0]
    return lambda _: [finding.lock(file if isinstance(file, int) else file.fileno())]


def _timers(arguments: _Arguments) -> _Look:
    return lambda _: [finding.timer(arguments[0])]


def _alarms(_: _Arguments) -> _Look:
    return lambda _: [finding.timer(signal.ITIMER_REAL)]


_MAKERS: Final[dict[str, _Watch]] = {
    "builtins.open": _descriptors,
    "io.open": _descriptors,
    "_io.open": _descriptors,  # tempfile
    "pathlib._NormalAccessor.open": _descriptors,  # until Python 3.10
    "os.open": _descriptors,
    "os.dup": _descriptors,
    "os.eventfd": _descriptors,
    "os.memfd_create": _descriptors,
    "os.openpty": _descriptors,
    "os.pidfd_open": _descriptors,
    "os.pipe": _descriptors,
    "os.pipe2": _descriptors,
    "os.timerfd_create": _descriptors,
    "_posixshmem.shm_open": _descriptors,
    "selectors.EpollSelector._selector_cls": _descriptors,  # not select.epoll, a class: annotations name it
    "socket.socket.__init__": _first_argument,
    "_sqlite3.connect": _new_files,
    "sqlite3.connect": _new_files,
    "sqlite3.dbapi2.connect": _new_files,
    "_multiprocessing.SemLock": _new_mappings,
    "os.fork": _processes,
    "os.forkpty": _processes,
    "os.posix_spawn": _processes,
    "os.posix_spawnp": _processes,
    "_posixsubprocess.fork_exec": _processes,
    "subprocess._fork_exec": _processes,
    "_thread.start_new_thread": _threads,
    "_thread.start_joinable_thread": _threads,
    "threading._start_new_thread": _threads,
    "threading._start_joinable_thread": _threads,
    "fcntl.flock": _locks,
    "fcntl.lockf": _locks,
    "fcntl.fcntl": _locks,  # F_OFD_SETLK, F_SETLEASE
    "os.lockf": _locks,
    "signal.setitimer": _timers,
    "signal.alarm": _alarms,
}
