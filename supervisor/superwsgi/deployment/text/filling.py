"""Templates: the files of templates/, with values in the places of `@{name}`.

A line that begins with `@?{name}` stands only where that value is true, with `@!{name}` only where it is
not. A line with nothing but `@{name}` becomes as many lines as the value has, indented alike. `$`, `%` and
braces mean nothing: they belong to the languages of the files themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

Value = str | int | bool | None

_FOLDER: Final = Path(__file__).parents[2] / "templates"
_CONDITION: Final = re.compile(r"@([?!])\{(\w+)\}(.*)")
_ALONE: Final = re.compile(r"( *)@\{(\w+)\}")
_VALUE: Final = re.compile(r"@\{(\w+)\}")


def filled(template: str, values: Mapping[str, Value]) -> str:
    """The text of templates/`template`; a name without a value is a KeyError."""
    text = (_FOLDER / template).read_text("utf-8")
    return "".join(f"{line}\n" for line in _lines(text, values))


def _lines(text: str, values: Mapping[str, Value]) -> Iterator[str]:
    for line in text.splitlines():
        condition = _CONDITION.fullmatch(line)
        if condition and bool(values[condition[2]]) != (condition[1] == "?"):
            continue
        yield from _line(condition[3] if condition else line, values)


def _line(line: str, values: Mapping[str, Value]) -> Iterator[str]:
    alone = _ALONE.fullmatch(line)
    if alone:
        yield from (f"{alone[1]}{each}" if each else "" for each in str(values[alone[2]]).splitlines())
    else:
        yield _VALUE.sub(lambda found: str(values[found[1]]), line)
