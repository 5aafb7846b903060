"""Templates with their values."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import superwsgi
from superwsgi.deployment.text import filling

TEMPLATES = sorted((Path(superwsgi.__file__).parent / "templates").iterdir())


def filled(text: str, **values: filling.Value) -> list[str]:
    return [*filling._lines(text, values)]


def test_values_stand_where_their_names_do() -> None:
    assert filled("a $b @{c} {d}%", c=1) == ["a $b 1 {d}%"]


def test_a_value_of_several_lines_is_indented() -> None:
    assert filled("  @{a}\nb", a="1\n\n2") == ["  1", "", "  2", "b"]
    assert filled("@{a}\nb", a="") == ["b"]


def test_a_line_on_a_condition() -> None:
    assert filled("@?{a}  x @{a}\n@!{a}y", a="1") == ["  x 1"]
    assert filled("@?{a}  x @{a}\n@!{a}y", a=None) == ["y"]


def test_a_name_without_a_value_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        filled("@{a}")


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_what_would_stay(path: Path) -> None:
    left = re.sub(r"@[?!]?\{\w+\}", "", path.read_text())
    assert "@{" not in left
