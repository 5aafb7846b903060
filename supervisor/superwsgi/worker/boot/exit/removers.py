"""Which exit handlers remove things that other processes may still use: those in REMOVERS or _ACTORS, and
those whose code calls one of REMOVERS, directly or through functions that it calls. What libraries do inside
is their affair: a log that is closed may well remove a file of its own.

Code is read, never run, and no object is asked anything: a lazy proxy would load the object behind it. Hence
type() here instead of isinstance(), which asks for `__class__`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from inspect import getattr_static
from types import CodeType, FunctionType, MethodType
from typing import Any, Final, NamedTuple

from superwsgi.log.frames import is_library

Handler = Callable[..., object]

REMOVERS: Final[frozenset[object]] = frozenset(
    {
        shutil.rmtree,  # matplotlib, for its settings if HOME is not writable
        os.remove,
        os.unlink,  # a pid file
        os.rmdir,
        os.removedirs,
        pathlib.Path.unlink,
        pathlib.Path.rmdir,
        tempfile.TemporaryDirectory.cleanup,
        tempfile.TemporaryDirectory.__exit__,
        tempfile.TemporaryDirectory._cleanup.__func__,  # type: ignore[attr-defined]
        contextlib.ExitStack.close,  # files of a package, as importlib.resources' documentation has it
        contextlib.ExitStack.__exit__,
    }
)
"""Functions that remove what other processes may still use."""

_ACTORS: Final[tuple[object, ...]] = (
    *(os.system, subprocess.run, subprocess.call, subprocess.check_call, subprocess.check_output),
    *(subprocess.Popen, os.kill, os.killpg),
    *(os.rename, os.renames, os.replace, shutil.move, pathlib.Path.rename, pathlib.Path.replace),
)
"""Functions that, if registered themselves, act on the arguments that the import gave them:
`os.system, "rm -rf …"`. If a handler calls them, they may be doing anything."""

_KNOWN: Final = frozenset(map(id, REMOVERS))
_ACTING: Final = frozenset(map(id, _ACTORS))
_BY_NAME: Final = frozenset({"certifi.core.exit_cacert_ctx"})  # the certificates of a zipped package
_CALLS: Final = frozenset({"rmtree", "unlink", "rmdir", "removedirs"})
_PROGRAM: Final = "rm"
_DEEPEST: Final = 4
"""How many calls deep a remover is looked for in a handler."""


class _Called(NamedTuple):
    """A function, and the object whose method it is."""

    function: Any
    owner: object = None

    @property
    def identity(self) -> tuple[int, int]:
        return id(self.function), id(self.owner)


def removes(handler: Handler) -> bool:
    return id(_handled(handler).function) in _ACTING or any(
        _removes_itself(each.function) for each in _reached(handler)
    )


def named(handler: Handler, names: frozenset[str]) -> bool:
    """Whether it is one of these, each spelled `module.qualified_name`."""
    return f"{getattr(handler, '__module__', '')}.{getattr(handler, '__qualname__', '')}" in names


def _removes_itself(function: Any) -> bool:
    return _is_known(function) or (type(function) is FunctionType and _calls_by_name(function.__code__))


def _is_known(function: Any) -> bool:
    return id(function) in _KNOWN or (type(function) is FunctionType and named(function, _BY_NAME))


def _calls_by_name(code: CodeType) -> bool:
    names, texts = _read(code)
    runs = any(text == _PROGRAM or text.startswith(_PROGRAM + " ") for text in texts)
    return bool(names & _CALLS) or {"os", "remove"} <= names or runs


def _read(code: CodeType) -> tuple[set[str], set[str]]:
    """The names and texts that code uses; those of nested functions too."""
    names, texts = set(code.co_names), set[str]()
    constants = [*code.co_consts]
    while constants:
        constant = constants.pop()
        if isinstance(constant, CodeType):
            names.update(constant.co_names)
            constants += constant.co_consts
        elif isinstance(constant, tuple):
            constants += constant
        elif isinstance(constant, str):
            texts.add(constant)
    return names, texts


def _reached(handler: Handler) -> Iterator[_Called]:
    """The handler itself and the functions that it may call."""
    level, seen = [_handled(handler)], set[tuple[int, int]]()
    for _ in range(_DEEPEST):
        level = [each for each in level if each.identity not in seen]
        seen.update(each.identity for each in level)
        yield from level
        level = [called for each in level for called in _calls(each)]


def _handled(handler: Handler) -> _Called:
    """The function of a handler, which may be a callable object."""
    call = getattr_static(type(handler), "__call__", None)
    return _Called(call, handler) if type(call) is FunctionType else _unwrapped(handler)


def _unwrapped(handler: Any) -> _Called:
    """The function of a partial or a method."""
    while type(handler) is functools.partial:
        handler = handler.func
    if type(handler) is MethodType:
        return _Called(handler.__func__, handler.__self__)
    return _Called(handler)


def _calls(caller: _Called) -> Iterator[_Called]:
    """The functions, and methods of objects, that a function's code names."""
    wrapped = getattr_static(caller.function, "__wrapped__", None)  # functools.wraps, lru_cache
    if wrapped is not None:
        yield _unwrapped(wrapped)
    if type(caller.function) is not FunctionType:
        return
    names, _ = _read(caller.function.__code__)
    for value in (caller.owner, *_values(caller, names)):
        methods = (_Called(getattr_static(type(value), name, None), value) for name in names)
        for each in (_unwrapped(value), *methods):
            if _is_known(each.function) or _is_own(each.function, caller.function):
                yield each


def _values(caller: _Called, names: set[str]) -> Iterator[object]:
    """The values of the names: variables of its module, attributes of its object, enclosing variables."""
    for name in names:
        yield caller.function.__globals__.get(name)
        if caller.owner is not None:
            yield getattr_static(caller.owner, name, None)
    for cell in caller.function.__closure__ or ():
        with contextlib.suppress(ValueError):  # empty
            yield cell.cell_contents


def _is_own(function: Any, caller: FunctionType) -> bool:
    """Whether it belongs to the application, or to the same file as its caller."""
    return type(function) is FunctionType and (
        function.__globals__ is caller.__globals__ or not is_library(function.__code__.co_filename)
    )
