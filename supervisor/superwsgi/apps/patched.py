"""Applications that have replaced Python's threads and sockets by greenlets (gevent, eventlet).

A worker runs threads: under such a patch they would wait for each other and serve nobody.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from typing import Final

from superwsgi import unpatched
from superwsgi.log.frames import is_installed, is_library

_LIBRARIES: Final = {
    "gevent": ("gevent.monkey", "is_module_patched"),
    "eventlet": ("eventlet.patcher", "is_monkey_patched"),
}
"""The module that patches, and its function that says whether it has patched a module."""

_MODULES: Final = (
    *("os", "queue", "select", "selectors", "signal", "socket"),
    *("ssl", "subprocess", "_thread", "thread", "threading", "time"),
)
_CALLS: Final = frozenset({"monkey_patch", "patch_all", *(f"patch_{name}" for name in _MODULES)})
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def refusal() -> str | None:
    """Why what has been imported cannot be served, and what to do; None where it can be."""
    for library, (module, function) in _LIBRARIES.items():
        if library == "gevent" and unpatched.is_green():
            continue
        is_patched = getattr(sys.modules.get(module), function, None)
        if is_patched is not None and any(map(is_patched, _MODULES)):
            return (
                f"{library} has patched the standard library{_at(library)}, but workers run threads, not "
                "greenlets: remove the patch, and set threads to the number of requests that may wait at "
                "once, or green to run greenlets: then the server patches"
            )
    return None


def _at(library: str) -> str:
    """The place in the application, or else in a library, that patches; empty if it is not clear."""
    for is_candidate in (lambda file: not is_library(file), is_installed):
        places = [f"{file}, line {line}" for file in _files(is_candidate) for line in _calls(file, library)]
        if places:
            return f" ({places[0]})" if len(places) == 1 else ""
    return ""


def _files(is_candidate: Callable[[str], bool]) -> Iterator[str]:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and is_candidate(file) and name.partition(".")[0] not in _LIBRARIES:
            yield file


def _calls(file: str, library: str) -> Iterator[int]:
    """The lines of a module that patch while it is imported."""
    try:
        with open(file, "rb") as source:
            text = source.read()
        tree = ast.parse(text) if library.encode() in text else ast.Module([], [])
    except (OSError, SyntaxError, ValueError):  # compiled, or of another coding
        return
    for node in _run_on_import(tree):
        if isinstance(node, ast.Call) and _name(node.func) in _CALLS:
            yield node.lineno


def _run_on_import(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _FUNCTIONS):
            yield from _run_on_import(child)


def _name(function: ast.expr) -> str | None:
    return getattr(function, "attr", None) or getattr(function, "id", None)
