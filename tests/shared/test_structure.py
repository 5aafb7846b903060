"""The floor plan: how long a function, a module or a constructor may be, how full a folder; that modules
import each other one way; that a class name means one thing.
"""

import ast
from collections import defaultdict
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "supervisor" / "superwsgi"

FUNCTION_LINES = 50
MODULE_LINES = 450
FOLDER_MODULES = 12  # __init__.py included
PARAMETERS = 8

# What workers need of tls/, as a protocol that imports no ssl, and what it is: one meaning in two places.
NAMES_OF_ONE_THING = {"Certificates", "Tls"}


@cache
def modules():
    """Path below the package, and syntax tree, of each module."""
    return {str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}


def definitions(kind):
    """`worker/serve/loop.py: Loop.__init__` and its node, of all functions or classes."""
    for module, tree in modules().items():
        yield from ((f"{module}: {name}", node) for name, node in _inside(tree, "") if isinstance(node, kind))


def _inside(node, prefix):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + child.name, child
            yield from _inside(child, f"{prefix}{child.name}.")
        else:
            yield from _inside(child, prefix)


def lines(node):
    """Decorators are not counted."""
    return node.end_lineno - node.lineno + 1


def test_functions_are_short():
    functions = definitions(ast.FunctionDef | ast.AsyncFunctionDef)
    assert {name for name, node in functions if lines(node) > FUNCTION_LINES} == set()


def test_modules_are_of_a_size_that_tells_one_story():
    long = {name for name in modules() if len((PACKAGE / name).read_text().splitlines()) > MODULE_LINES}
    assert not long


def test_folders_are_not_crowded():
    count = defaultdict(int)
    for name in modules():
        count[str(Path(name).parent)] += 1
    assert {folder for folder, found in count.items() if found > FOLDER_MODULES} == set()


def test_constructors_take_few_things():
    """Fields of data classes and messages are not counted: they have no __init__ of their own."""
    wide = {
        name.removesuffix(".__init__")
        for name, node in definitions(ast.FunctionDef)
        if node.name == "__init__" and parameters(node) > PARAMETERS
    }
    assert not wide


def parameters(function):
    """Those beside self."""
    taken = function.args
    return len(taken.posonlyargs) + len(taken.args) + len(taken.kwonlyargs) - 1


def test_a_class_name_means_one_thing():
    """An underscore before it makes no other word of it."""
    homes = defaultdict(list)
    for name, node in definitions(ast.ClassDef):
        homes[node.name.lstrip("_")].append(name)
    shared = {name: found for name, found in homes.items() if len(found) > 1}
    assert set(shared) == NAMES_OF_ONE_THING, shared


def imported(module, tree):
    """The modules of ours that one imports when it is itself imported."""
    for node in _run_at_import(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif node.level:
            pytest.fail(f"{module}:{node.lineno}: import by the full name")
        else:
            names = [_imported_from(node.module, alias.name) for alias in node.names]
        yield from filter(None, map(_module, names))


def _imported_from(module, name):
    """`from a import b` is of the module a.b where there is one, or else of a."""
    return f"{module}.{name}" if _module(f"{module}.{name}") else module


def _run_at_import(node):
    """Imports outside of functions and of `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif not isinstance(child, ast.FunctionDef) and not _is_for_types(child):
            yield from _run_at_import(child)


def _is_for_types(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _module(name):
    """`config/schema.py` for superwsgi.config.schema; None for what is no module of ours."""
    package, *parts = name.split(".")
    if package != "superwsgi":
        return None
    path = "/".join(parts)
    return next((each for each in (f"{path}.py", f"{path}/__init__.py") if each in modules()), None)


def test_no_module_imports_itself_by_way_of_others():
    graph = {name: set(imported(name, tree)) for name, tree in modules().items()}
    assert graph["channel.py"] >= {"messages.py", "system/credentials.py"}, "the imports are not read"
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle
