"""What plain Python does and mypyc does otherwise must not be in modules that are compiled.

All of this has happened here, and was found by other tests, or by a C compiler whose message said nothing.
"""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def compiled():
    """The modules that the hook in pyproject.toml compiles."""
    tomllib = pytest.importorskip("tomllib")  # not in 3.10
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    hook = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    wanted, refused = (
        {path for pattern in hook[key] for path in (REPOSITORY / "supervisor").glob(pattern)}
        for key in ("modules", "except")
    )
    return sorted(wanted - refused)


def found(looks_wrong):
    return [
        f"{path.name}:{node.lineno}: {ast.unparse(node)}"
        for path in compiled()
        for node in ast.walk(ast.parse(path.read_text()))
        if looks_wrong(node)
    ]


def calls(node):
    """Names of the functions called in an expression, `?` for methods."""
    inside = [] if node is None else ast.walk(node)
    return {getattr(part.func, "id", "?") for part in inside if isinstance(part, ast.Call)}


def test_slices_have_bounds_without_effects():
    """Bounds are worked out twice where mypyc knows no faster way to slice, as with a memoryview."""
    assert not found(
        lambda node: (
            isinstance(node, ast.Slice) and (calls(node.lower) | calls(node.upper)) - {"len", "min", "max"}
        )
    )


def test_no_attribute_becomes_a_word_of_c():
    """mypyc puts a `_` before each: `__thread` is a keyword, `__unix` and `__linux` are macros."""
    assert not found(
        lambda node: isinstance(node, ast.Attribute) and node.attr in ("_thread", "_unix", "_linux")
    )


def test_what_is_added_to_a_list_does_not_look_at_it():
    """A generator is worked off before the list grows."""
    assert not found(
        lambda node: isinstance(node, ast.AugAssign) and isinstance(node.value, ast.GeneratorExp)
    )


def test_no_field_of_a_class_is_of_a_type_that_gevent_removes():
    """The types of fields are looked up at import, before the application that is patched can be refused."""
    assert not found(
        lambda node: (
            isinstance(node, ast.AnnAssign)
            and "select." in ast.unparse(node.annotation)
            and node.value is None
        )
    )
