"""Which of the names that a Python file defines is its application, and why none of them is."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

from superwsgi.project.python_file import Binding, PythonFile, is_factory, is_file, scan

INSTANCES: Final = ("app", "application")
FACTORIES: Final = ("create_app", "make_app")


_SERVER: Final = "server"
"""What Dash's documentation calls the WSGI application of `app`, its `app.server`."""

_ASGI: Final = (
    "{name} is an ASGI application, and this is a WSGI server: "
    "wrap it in a2wsgi.ASGIMiddleware, or use an ASGI server"
)
_ONLY_AS_SCRIPT: Final = (
    'it makes its application under `if __name__ == "__main__":`, which a server does not run: '
    "move that part above it, to the left margin"
)

_WITHOUT_A_NAME: Final = {
    "bottle": "its routes are on bottle's default application: write app = bottle.default_app() at its end",
    "cherrypy": "CherryPy would serve it itself: write app = cherrypy.tree.mount(Root(), '/') in place of "
    "quickstart",
}
"""What applications of these frameworks lack that are only made to be run as scripts."""


def choices(source: PythonFile, *, deep: int = 3) -> list[str]:
    """As an import string has them: `app`, `create_app()`; several where one is as good as the other. Files
    of which it imports all are looked at, too, `deep` of them behind each other."""
    if any(each.made_by.endswith(f".{_SERVER}") for each in source.all_of(_SERVER)):
        return [_SERVER]
    apps = [name for name in INSTANCES if any(_may_serve(source, each) for each in source.all_of(name))]
    if apps:
        return _outermost(source, apps)
    factories = [name for name in FACTORIES if _makes(source, name)]
    if factories:
        return [f"{name}()" for name in _outermost(source, factories)]
    made = [name for name, bindings in source.names.items() if any(each.is_made for each in bindings)]
    return _outermost(source, made) or (_imported(source, deep - 1) if deep else [])


def is_factory_only(source: PythonFile, name: str) -> bool:
    """Whether it is a function that has to be called for an application, as Flask's commands do."""
    made = [each for each in source.all_of(name) if isinstance(each.node, ast.FunctionDef)]
    return any(is_factory(each) and (name in FACTORIES or not each.is_application) for each in made)


def _imported(source: PythonFile, deep: int) -> list[str]:
    """Those of the last `from … import *`."""
    for binding in reversed(source.all_of("*")):
        path = _file_of(source.path, binding)
        if path is not None and (found := choices(scan(path), deep=deep)):
            return found
    return []


def _may_serve(source: PythonFile, binding: Binding) -> bool:
    return binding.is_application and not binding.is_asgi and not _is_module(source.path, binding)


def _makes(source: PythonFile, name: str) -> bool:
    return any(is_factory(each) and not each.is_asgi for each in source.all_of(name))


def _is_module(path: Path, binding: Binding) -> bool:
    """Whether `from shop import app` imports a module, shop/app.py, and not what shop/__init__.py has."""
    found = _file_of(path, binding)
    if found is None:
        return False
    package = found.parent.parent if found.name == "__init__.py" else found.parent
    names = scan(package / "__init__.py").names if is_file(package / "__init__.py") else {}
    return binding.made_by.rpartition(".")[2] not in names


def _file_of(path: Path, binding: Binding) -> Path | None:
    """The module that `from … import` means, if it is beside the file or, relatively, above."""
    if not isinstance(binding.node, ast.ImportFrom):
        return None
    folder = path.parent
    for _ in range(binding.node.level - 1):
        folder = folder.parent
    at = folder.joinpath(*binding.made_by.lstrip(".").removesuffix("*").rstrip(".").split("."))
    return next(filter(is_file, (at.parent / f"{at.name}.py", at / "__init__.py")), None)


def _outermost(source: PythonFile, names: list[str]) -> list[str]:
    """Without those that are the same as one before, or are wrapped in another one."""
    left: list[str] = []
    for name in names:
        is_same = any(_are_same(source, name, before) for before in left)
        if not is_same and not any(_is_inside(source, name, other) for other in names):
            left.append(name)
    return left or names[:1]


def _are_same(source: PythonFile, name: str, other: str) -> bool:
    """`application = app = Flask(__name__)`"""
    return any(each.node is another.node for each in source.all_of(name) for another in source.all_of(other))


def _is_inside(source: PythonFile, name: str, other: str) -> bool:
    """`other = ProxyFix(name)`"""
    wraps = any(name in each.mentions for each in source.all_of(other))
    return name != other and wraps and not any(other in each.mentions for each in source.all_of(name))


def explanation(source: PythonFile) -> str:
    """Why there is none, where that can be told; empty for a file that has nothing to do with it."""
    usual = [*INSTANCES, *FACTORIES]
    bindings = [(name, each) for name in usual for each in source.all_of(name)]
    asgi = next((name for name, each in bindings if each.is_asgi), None)
    if source.problem:
        return source.problem
    if asgi is not None:
        return _ASGI.format(name=asgi)
    for name, each in bindings:
        if name in FACTORIES and isinstance(each.node, ast.FunctionDef):
            return f"{name} needs arguments: give them as literals, as in {name}('production')"
    if any(name in source.under_main for name in usual):
        return _ONLY_AS_SCRIPT
    imported = {whole.partition(".")[0] for whole in source.imports.values()}
    return next((why for name, why in _WITHOUT_A_NAME.items() if name in imported), "")
