"""What Django's manage.py and the settings say, found in their text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from superwsgi.config.grammar.import_strings import parse
from superwsgi.config.grammar.values import Invalid
from superwsgi.config.text.variables import UnusableFile
from superwsgi.project.folder import ProjectFolder
from superwsgi.project.found import Found
from superwsgi.project.python_file import dotted, is_file, syntax_of

_VARIABLE: Final = "DJANGO_SETTINGS_MODULE"
_DEFAULT: Final = "django.core.wsgi:get_wsgi_application()"
_MOST_SETTINGS: Final = 20
"""Files of settings that import from each other."""


def managed(here: ProjectFolder) -> Found | None:
    """The application of the project that manage.py is of, in the folder or in `src/`."""
    for root in (here.path, here.path / "src"):
        path = root / "manage.py"
        if is_file(path):
            found = _managed(here, root, path)
            if found is not None:
                return found
    return None


def _managed(here: ProjectFolder, root: Path, path: Path) -> Found | None:
    inside = replace(here, path=root)
    written = _settings_module(path)
    settings = here.environ.get(_VARIABLE) or written
    spelled = here.spelled(path)
    if settings is None:
        here.notes.append(f"{spelled}: it names no settings module: set {_VARIABLE}")
        return None
    app = _wsgi_application(inside, settings)
    why = f"{spelled} is Django's, and {settings} " + (
        f"has WSGI_APPLICATION = {app.replace(':', '.')}" if app else "its settings"
    )
    if here.command != "dev" and app:  # as other servers, which import wsgi.py, and it alone
        settings = _settings_of(inside, app) or settings
    env = {} if _VARIABLE in here.environ else {_VARIABLE: settings}
    return Found(app or _DEFAULT, str(root), why, env, framework="django")


def _settings_of(here: ProjectFolder, app: str) -> str | None:
    path = here.module_file(app.partition(":")[0])
    return _settings_module(path) if path is not None else None


def _settings_module(path: Path) -> str | None:
    """What `os.environ.setdefault("DJANGO_SETTINGS_MODULE", …)`, or an assignment, says there."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Call) and dotted(node.func).endswith("environ.setdefault"):
            first, *rest = [*map(_text, node.args), None]
            if first == _VARIABLE and rest and rest[0]:
                return rest[0]
        if isinstance(node, ast.Assign) and any(map(_is_variable, node.targets)) and _text(node.value):
            return _text(node.value)
    return None


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _is_variable(target: ast.expr) -> bool:
    """`os.environ["DJANGO_SETTINGS_MODULE"]`"""
    return (
        isinstance(target, ast.Subscript)
        and dotted(target.value).endswith("environ")
        and isinstance(target.slice, ast.Constant)
        and target.slice.value == _VARIABLE
    )


def _wsgi_application(here: ProjectFolder, settings: str) -> str | None:
    """The import string of what the settings say, if they do; those that they import from included."""
    waiting, seen = [settings], 0
    while waiting and seen < _MOST_SETTINGS:
        name, seen = waiting.pop(0), seen + 1
        path = here.module_file(name)
        if path is None:
            continue
        tree = _tree(path)
        said = next(_values(tree), None)
        if said is not None:
            return _import_string(said)
        waiting += _all_from(tree, name, is_package=path.name == "__init__.py")
    return None


def _values(tree: ast.Module) -> Iterator[str]:
    """Of WSGI_APPLICATION; the last one holds."""
    for node in reversed(tree.body):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names = [each.id for each in node.targets if isinstance(each, ast.Name)]
            if "WSGI_APPLICATION" in names and isinstance(node.value.value, str):
                yield node.value.value


def _import_string(said: str) -> str | None:
    """`shop.wsgi:application` for `shop.wsgi.application`."""
    module, _, name = said.rpartition(".")
    try:
        parse(f"{module}:{name}")
    except Invalid:
        return None
    return f"{module}:{name}"


def _all_from(tree: ast.Module, name: str, is_package: bool) -> Iterator[str]:
    """The modules of each `from … import *`, from the last one on."""
    for node in reversed(list(ast.walk(tree))):
        if isinstance(node, ast.ImportFrom) and any(each.name == "*" for each in node.names):
            above = name.split(".")[: -(node.level - is_package) or None] if node.level else []
            yield ".".join([*above, *([node.module] if node.module else [])])


def _tree(path: Path) -> ast.Module:
    try:
        return syntax_of(path)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OSError, UnusableFile):
        return ast.Module([], [])
