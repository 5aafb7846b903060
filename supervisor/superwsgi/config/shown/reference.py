"""The keys of a site file as a document: the reference site file, or what it has of one key.

It comes from the fields of schema.py: what a key means is said there and, where a line is too short for that,
in details.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from msgspec import NODEFAULT, Struct, inspect

from superwsgi.config.schema import Application
from superwsgi.config.shown.details import details
from superwsgi.config.text.reader import SITE, mappings

_HEAD: Final = """\
# Every key of a site file, with its default. Only app (or apps) is needed. `superwsgi reference KEY` prints
# what is here of one.
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
    """A site file with every key, its default and comments; it loads to the defaults."""
    app = _app()
    first = app._replace(default=app.examples[0], examples=[])
    return _text([_HEAD, *_lines(first), *(line for key in _keys(SITE) for line in _of(key))])


def parts() -> dict[str, str]:
    """What the reference has of each key, by its path: `app`, `log`, `log.sample`."""
    found = {"app": _text(_lines(_app()))}
    for key in _keys(SITE):
        found[key.name] = _text(_of(key))
        if isinstance(key.type, inspect.StructType):
            for inner in _keys(key.type):
                lines = [f"{key.name}:", *_lines(inner, key.name)]
                found[f"{key.name}.{inner.name}"] = _text(lines)
    return found


def _text(lines: Iterable[str]) -> str:
    """With one empty line where several meet, and none below the line of a section."""
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
    return re.sub(r"^(\w+:)\n\n", r"\1\n", text, flags=re.MULTILINE) + "\n"


def _of(key: _Key) -> Iterator[str]:
    """A key at the top, or a section with its keys."""
    if isinstance(key.type, inspect.StructType):
        yield from ("", f"# {key.help}", *_more(key), f"{key.name}:")
        for inner in _keys(key.type):
            yield from _lines(inner, key.name)
        yield ""
    else:
        yield from _lines(key)


def _lines(key: _Key, section: str = "") -> Iterator[str]:
    indent = "  " if section else ""
    lines = [f"{indent}# {key.name}: {example}" for example in key.examples]
    if key.default is not None:
        lines.insert(0, f"{indent}{key.name}: {key.default}")
    more = [f"{indent}{line}" for line in _more(key, section)]
    if more:
        yield from ("", f"{indent}# {key.help}", *more, *lines, "")
    elif len(lines[0]) >= _COMMENT_COLUMN:
        yield from (f"{indent}# {key.help}", *lines)
    else:
        yield from (f"{lines[0]:{_COMMENT_COLUMN}}# {key.help}", *lines[1:])


def _more(key: _Key, section: str = "") -> Iterator[str]:
    """The keys of a mapping in its place, and the details: further in than a comment that is a key."""
    known = () if isinstance(key.type, inspect.StructType) else (*mappings(key.type), *_of_each(key.type))
    inner = [f"{_given(each):16}{each.help}" for kind in known for each in _keys(kind)]
    text = details().get(f"{section}.{key.name}" if section else key.name, "").splitlines()
    between = [""] if inner and text else []
    yield from (f"#   {line}".rstrip() for line in (*inner, *between, *text))


def _given(key: _Key) -> str:
    """With its default, if it has one that is a value."""
    plain = key.default is not None and not isinstance(key.type, inspect.StructType)
    return f"{key.name}: {key.default}" if plain else key.name


def _of_each(kind: inspect.Type) -> Iterator[inspect.StructType]:
    """What a value of a mapping with free keys may be, where it has keys of its own."""
    if isinstance(kind, inspect.DictType):
        yield from mappings(kind.value_type)


def _app() -> _Key:
    return _key("app", inspect.type_info(Application))


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
