"""What a Python file defines at module level, found in its syntax tree: nothing of it is run.

Applications are known by the usual names, or by what makes them.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from superwsgi.config.text.variables import UnusableFile, read_bytes

_LARGEST: Final = 1 << 20
_BRANCHES: Final = (ast.If, ast.Try, ast.With, ast.For, ast.While)
_Function = ast.FunctionDef | ast.AsyncFunctionDef

_WSGI: Final = frozenset(
    {
        *("Flask", "APIFlask", "OpenAPI", "Eve", "Dash", "Bottle", "default_app", "get_wsgi_application"),
        *("falcon.App", "falcon.API", "make_wsgi_app", "wsgifunc", "cherrypy.Application", "tree.mount"),
        *("connexion.App", "connexion.FlaskApp", "WsgiDAVApp", "DispatcherMiddleware", "ProxyFix"),
    }
)
"""What makes applications, by its last name or by all of it."""

_ASGI: Final = (
    *("fastapi", "starlette", "quart", "litestar", "starlite", "sanic", "blacksheep", "aiohttp", "tornado"),
    *("channels", "falcon.asgi", "django.core.asgi", "asgiref.wsgi", "socketio.ASGIApp", "nicegui", "robyn"),
)
_NO_APPLICATIONS: Final = ("celery", "typer", "click", "argparse", "tkinter", "kivy", "PyQt5", "PyQt6")
_SERVERS: Final = frozenset(
    {
        *("bottle.run", "waitress.serve", "werkzeug.serving.run_simple", "uvicorn.run", "hypercorn.run"),
        *("cherrypy.quickstart", "cherrypy.engine.block", "superwsgi.run", "superwsgi.run_simple"),
    }
)
_FRAMEWORKS: Final = {
    **{name: name for name in ("flask", "django", "bottle", "falcon", "pyramid", "cherrypy", "werkzeug")},
    **dict.fromkeys(("apiflask", "eve", "dash", "connexion", "flask_openapi3"), "flask"),
}


@dataclass(frozen=True, slots=True)
class Binding:
    """One statement that gives a name its value at module level. `made_by` is the dotted name, as imported,
    of what is called or imported; `mentions` are the names that the value is made of."""

    node: ast.stmt
    made_by: str = ""
    mentions: frozenset[str] = frozenset()
    value: ast.expr | None = None

    @property
    def is_asgi(self) -> bool:
        if isinstance(self.node, ast.AsyncFunctionDef):
            return True
        if isinstance(self.node, ast.FunctionDef):
            made = {name for name in self.mentions if _begins(name, _ASGI)}
            return bool(made) and not any(map(_makes_wsgi, self.mentions))
        return _begins(self.made_by, _ASGI) and not isinstance(self.node, ast.ImportFrom)

    @property
    def is_application(self) -> bool:
        """Whether it may be one: Python does not tell before it runs."""
        if isinstance(self.node, ast.Import) or _begins(self.made_by, _NO_APPLICATIONS):
            return False
        if isinstance(self.node, ast.FunctionDef):
            return _takes(self.node, 2)
        return not isinstance(self.value, ast.Constant | ast.List | ast.Dict | ast.Set | ast.JoinedStr)

    @property
    def is_made(self) -> bool:
        """Whether what makes it is known to make applications."""
        return isinstance(self.node, ast.Assign | ast.AnnAssign) and _makes_wsgi(self.made_by)


@dataclass(slots=True)
class PythonFile:
    """A file; `problem` is what keeps it from being read, `mistake` why it is no Python. `under_main` are
    names that only exist where it is run as a script. `served` has the lines that start a server whenever the
    file is imported, by the application that they run, or by the name of the server."""

    path: Path
    names: dict[str, list[Binding]] = field(default_factory=dict)
    under_main: dict[str, list[Binding]] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    mistake: str = ""
    served: dict[str, int] = field(default_factory=dict)

    def all_of(self, name: str) -> list[Binding]:
        """What gives the name its value."""
        return self.names.get(name, [])

    def starts_server(self, name: str) -> str:
        """The call that serves the application of that name, as scripts do at their end, and its line: it
        does not return. Empty where there is none."""
        for server, line in self.served.items():
            if server in _SERVERS or server == name:
                return f"{server if server in _SERVERS else f'{name}.run'}() in line {line}"
        return ""

    @property
    def framework(self) -> str | None:
        """That of the first known one which it imports."""
        roots = [name.partition(".")[0] for name in self.imports.values()]
        return next((_FRAMEWORKS[root] for root in roots if root in _FRAMEWORKS), None)


def is_file(path: Path) -> bool:
    """Whether it is one that can be asked about."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def scan(path: Path) -> PythonFile:
    """The file as far as it can be read."""
    source = PythonFile(path)
    try:
        tree = syntax_of(path)
    except (FileNotFoundError, UnusableFile) as error:
        source.problem = str(error)
    except SyntaxError as error:
        source.mistake = f"line {error.lineno}: {error.msg}" if error.lineno else error.msg
    except (ValueError, RecursionError, MemoryError) as error:  # a NUL; nesting without end
        source.mistake = str(error) or "nested too deeply"
    else:
        _bind_all(tree, source)
    return source


def syntax_of(path: Path) -> ast.Module:
    """Raises FileNotFoundError, UnusableFile, and what ast.parse does."""
    content = read_bytes(path, _LARGEST)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(content, str(path))


def _bind_all(tree: ast.Module, source: PythonFile) -> None:
    statements = list(_at_module_level(tree))
    for node, _ in statements:
        if isinstance(node, ast.Import | ast.ImportFrom):
            source.imports.update(_imported(node))
    for node, is_under_main in statements:
        names = source.under_main if is_under_main else source.names
        for name, binding in _bindings(node, source.imports):
            names.setdefault(name, []).append(binding)
    for call in (node.value for node in tree.body if isinstance(node, ast.Expr)):
        if isinstance(call, ast.Call):
            _note_server(call, source)


def _note_server(call: ast.Call, source: PythonFile) -> None:
    """What is called in a branch may be meant for scripts alone."""
    owner, _, method = dotted(call.func).rpartition(".")
    server = full_name(call, source.imports)
    if method == "run" or server in _SERVERS:
        source.served[server if server in _SERVERS else owner] = call.lineno


def _at_module_level(tree: ast.Module) -> Iterator[tuple[ast.stmt, bool]]:
    """Each statement that runs when the file is imported, or else only when it is run as a script."""
    waiting: list[tuple[ast.stmt, bool]] = [(node, False) for node in reversed(tree.body)]
    while waiting:
        node, under_main = waiting.pop()
        yield node, under_main
        if isinstance(node, _BRANCHES) and not _is_for_types(node):
            below = under_main or _is_main(node)
            inner = [(each, below) for each in node.body]
            inner += [(each, under_main) for each in _otherwise(node)]
            waiting += reversed(inner)


def _otherwise(node: ast.stmt) -> Iterator[ast.stmt]:
    for handler in getattr(node, "handlers", ()):
        yield from handler.body
    yield from getattr(node, "orelse", ())
    yield from getattr(node, "finalbody", ())


def _is_main(node: ast.stmt) -> bool:
    """`if __name__ == "__main__":`"""
    if not isinstance(node, ast.If) or not isinstance(node.test, ast.Compare):
        return False
    parts = [node.test.left, *node.test.comparators]
    named = any(isinstance(each, ast.Name) and each.id == "__name__" for each in parts)
    return named and any(isinstance(each, ast.Constant) and each.value == "__main__" for each in parts)


def _is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and dotted(node.test).endswith("TYPE_CHECKING")


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """Local names, and what they are in full; relative imports begin with their dots."""
    for each in node.names:
        if isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield each.asname or each.name, f"{module}.{each.name}" if node.module else module + each.name
        else:
            local = each.asname or each.name.partition(".")[0]
            yield local, each.name if each.asname else local


def _bindings(node: ast.stmt, imports: dict[str, str]) -> Iterator[tuple[str, Binding]]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        for name, whole in _imported(node):
            yield name, Binding(node, whole)
    elif isinstance(node, _Function | ast.ClassDef):
        yield node.name, Binding(node, mentions=_made_in(node, imports))
    elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        made_by = full_name(node.value, imports)
        binding = Binding(node, made_by, _names_in(node.value), node.value)
        yield from ((name, binding) for name in _assigned(node))


def _assigned(node: ast.Assign | ast.AnnAssign) -> Iterator[str]:
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        names = target.elts if isinstance(target, ast.Tuple) else [target]
        yield from (each.id for each in names if isinstance(each, ast.Name))


def _names_in(value: ast.expr) -> frozenset[str]:
    return frozenset(node.id for node in ast.walk(value) if isinstance(node, ast.Name))


def _made_in(node: ast.stmt, imports: dict[str, str]) -> frozenset[str]:
    """What is called in a function, in full."""
    inner = {
        name: whole
        for each in ast.walk(node)
        if isinstance(each, ast.Import | ast.ImportFrom)
        for name, whole in _imported(each)
    }
    known = {**imports, **inner}
    calls = (each for each in ast.walk(node) if isinstance(each, ast.Call))
    return frozenset(filter(None, (full_name(each, known) for each in calls)))


def full_name(value: ast.expr, imports: dict[str, str]) -> str:
    """`flask.Flask` for `Flask(__name__)` after `from flask import Flask`; empty for what has no name."""
    spelled = dotted(value.func if isinstance(value, ast.Call) else value)
    first, dot, rest = spelled.partition(".")
    return f"{imports.get(first, first)}{dot}{rest}"


def dotted(node: ast.expr) -> str:
    """`a.b.c`, and `.c` for an attribute of what has no name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    parts.append(node.id if isinstance(node, ast.Name) else "")
    return ".".join(reversed(parts))


def _takes(node: _Function, count: int) -> bool:
    """Whether a function can be called with so many arguments."""
    taken = node.args
    positional = len(taken.posonlyargs) + len(taken.args)
    needed = positional - len(taken.defaults)
    by_name = any(default is None for default in taken.kw_defaults)
    return needed <= count and (count <= positional or taken.vararg is not None) and not by_name


def is_factory(binding: Binding) -> bool:
    """Whether it can be called without arguments, as far as the file tells."""
    if isinstance(binding.node, ast.FunctionDef):
        return _takes(binding.node, 0)
    return isinstance(binding.node, ast.ImportFrom | ast.Assign | ast.AnnAssign) and not isinstance(
        binding.value, ast.Constant
    )


def _makes_wsgi(made_by: str) -> bool:
    return any(made_by == name or made_by.endswith(f".{name}") for name in _WSGI)


def _begins(name: str, known: tuple[str, ...]) -> bool:
    return any(f"{name}.".startswith(f"{each}.") for each in known)
