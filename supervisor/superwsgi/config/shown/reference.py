"""The keys of a site file as documents: the reference site file and the table of the README.

Both come from the fields of schema.py: what a key means is said there, and only there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from msgspec import NODEFAULT, Struct, inspect

from superwsgi.config.schema import Application
from superwsgi.config.text.reader import SITE, mappings

_HEAD: Final = """\
# Every key of a site file, with its default. Only app (or apps) is needed.
#
# durations   250ms, 30s, 5m, 1h, or a number of seconds
# sizes       8K, 100M, 1G (1K is 1024 bytes), or a number of bytes
# paths       relative to the folder of this file
# variables   ${NAME} or ${NAME:-default} in any value; $${ is a literal ${
# secrets     ${file:/run/secrets/key} in any value is the content of that file
"""

_COMMENT_COLUMN: Final = 36
_PLAIN: Final = re.compile(r"[A-Za-z0-9./][A-Za-z0-9._/:-]*")
_TRUTHS: Final = {"switch": ("off", "on"), "consent": ("no", "yes")}
_UNITS: Final = {
    "duration": ((3600, "h"), (1, "s")),
    "threshold": ((3600, "h"), (1, "s")),
    "cooling": ((3600, "h"), (60, "m"), (1, "s")),
    "size": ((1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K"), (1, "")),
}


class _Key(NamedTuple):
    """A field as a reader of documents sees it; without a default it is shown by its examples."""

    name: str
    type: inspect.Type
    help: str
    default: str | None
    examples: list[str]


def reference() -> str:
    """A site file with every key, its default and a comment; it loads to the defaults."""
    app = _key("app", inspect.type_info(Application))
    return (
        "\n".join([_HEAD, *_lines(app._replace(default=app.examples[0], examples=[])), *_below(SITE)]) + "\n"
    )


def _below(kind: inspect.StructType, indent: str = "") -> Iterator[str]:
    for key in _keys(kind):
        if isinstance(key.type, inspect.StructType):
            yield f"\n# {key.help}\n{key.name}:"
            yield from _below(key.type, "  ")
        else:
            yield from _lines(key, indent)


def _lines(key: _Key, indent: str = "") -> Iterator[str]:
    lines = [f"{indent}# {key.name}: {example}" for example in key.examples]
    if key.default is not None:
        lines.insert(0, f"{indent}{key.name}: {key.default}")
    if len(lines[0]) >= _COMMENT_COLUMN:
        yield f"{indent}# {key.help}"
        yield lines[0]
    else:
        yield f"{lines[0]:{_COMMENT_COLUMN}}# {key.help}"
    yield from lines[1:]


def markdown_table() -> str:
    """The keys as a table: key, default, what it is."""
    rows = [_row("", _key("app", inspect.type_info(Application)))]
    for key in _keys(SITE):
        if not isinstance(key.type, inspect.StructType):
            rows.append(_row("", key))
        rows += [_row(f"{key.name}.", inner) for kind in mappings(key.type) for inner in _keys(kind)]
        rows += [_row(f"{key.name}.*.", inner) for kind in _of_each(key.type) for inner in _keys(kind)]
    return "\n".join(["| Key | Default | What it is |", "|---|---|---|", *rows]) + "\n"


def _of_each(kind: inspect.Type) -> Iterator[inspect.StructType]:
    """What a value of a mapping with free keys may be, where it has keys of its own."""
    if isinstance(kind, inspect.DictType):
        yield from mappings(kind.value_type)


def _row(above: str, key: _Key) -> str:
    given = key.default is not None and not isinstance(key.type, inspect.StructType)
    default = f"`{key.default}`" if given else ""
    return f"| `{above}{key.name}` | {default} | {key.help} |"


def _keys(kind: inspect.StructType) -> Iterator[_Key]:
    for field in kind.fields:
        default = {} if field.default_factory is not NODEFAULT else field.default
        yield _key(field.encode_name, field.type, default)


def _key(name: str, kind: inspect.Type, default: Any = NODEFAULT) -> _Key:
    assert isinstance(kind, inspect.Metadata)
    about = kind.extra_json_schema or {}
    spelled = None if default in (NODEFAULT, None) else spell(default, about.get("unit", ""))
    return _Key(name, kind.type, about["description"], spelled, about.get("examples", []))


def spell(value: Any, unit: str) -> str:
    """A value as a site file has it."""
    if unit in _UNITS:
        return _quantity(value, unit)
    if unit == "tolerance" and value == 1:
        return "off"
    if unit in ("percent", "sample", "tolerance"):
        return f"{value * 100:g}%"
    if unit == "octal":
        return f'"{value:04o}"'
    if unit in _TRUTHS:
        return _TRUTHS[unit][value]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        items = ", ".join(spell(str(item), unit) for item in value)
        return items if len(value) == 1 else f"[{items}]"
    if isinstance(value, Struct):
        return f"{{{', '.join(_entries(value))}}}"
    text = str(value)
    return text if _PLAIN.fullmatch(text) or value == {} else json.dumps(text)


def _entries(value: Struct) -> Iterator[str]:
    """A mapping's entries, with units."""
    kind = inspect.type_info(type(value))
    assert isinstance(kind, inspect.StructType)
    for field in kind.fields:
        key = _key(field.encode_name, field.type, getattr(value, field.name))
        yield f"{key.name}: {key.default}"


def _quantity(value: float, unit: str) -> str:
    """In the largest unit that leaves no fraction; a threshold of 0 is none."""
    if unit in ("threshold", "cooling") and not value:
        return "off"
    fitting = (pair for pair in _UNITS[unit] if pair[0] <= max(value, 1) and value % pair[0] == 0)
    factor, suffix = next(fitting, _UNITS[unit][-1])
    return f"{value / factor:g}{suffix}"
