"""A Site back to keys, each with its value as a site file has it, and where that was written.

What may be a secret is not shown: the environment of the application, tokens, what is from another file
(`env_file`, `${file:…}`), and what a variable has brought into a value that is free text. Numbers, addresses
and paths are shown with their variables in place: that is what an operator has come for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from msgspec import NODEFAULT, Struct, inspect

from superwsgi.config.listening import UnixAddress
from superwsgi.config.schema import Site
from superwsgi.config.shown.reference import spell
from superwsgi.config.sources import Source
from superwsgi.config.text.reader import SITE

HIDDEN: Final = "***"

_NOT_KNOWN: Final = Source("not known", expanded=True)
"""Of a site that an earlier version has loaded."""

_FREE: Final = frozenset({"", "command", "format", "page"})
"""Units of text in which anything may stand."""


class ShownKey(NamedTuple):
    """`value` is the value itself, `text` what is shown of it, `source` where it was written."""

    name: str
    value: Any
    text: str
    source: str


def keys(site: Site) -> Iterator[ShownKey]:
    """Every key, in the order of the reference file."""
    for name, kind, value, default in _flat(SITE, site):
        if name == "apps./" and len(site.apps) == 1 and not _written(site, name):
            name = "app"
        is_default = default is not NODEFAULT and value == default and not _written(site, name)
        source = _written(site, name) or (Source("default") if is_default or site.sources else _NOT_KNOWN)
        text = HIDDEN if _is_secret(name, kind, source) and value is not None else _spell(kind, value)
        yield ShownKey(name, value, text, source.text)


def changes(site: Site, other: Site) -> list[ShownKey]:
    """What is different in the other one; a key that is gone there has no text."""
    before = {key.name: key for key in keys(site)}
    after = {key.name: key for key in keys(other)}
    changed = [key for name, key in after.items() if name not in before or before[name].value != key.value]
    gone = (ShownKey(name, None, "", "not set any more") for name in before if name not in after)
    return [*changed, *gone]


def _flat(
    kind: inspect.StructType, value: Any, above: str = ""
) -> Iterator[tuple[str, inspect.Type, Any, Any]]:
    """Name, kind, value and default of each field; those of sections and of mappings by name, one by one."""
    for field in kind.fields:
        name, inner = above + field.encode_name, _plain(field.type)
        held = getattr(value, field.name)
        if isinstance(inner, inspect.StructType):
            yield from _flat(inner, held, f"{name}.")
        elif isinstance(inner, inspect.DictType):
            for key, item in held.items():
                yield f"{name}.{key}", inner.value_type, item, NODEFAULT
        else:
            yield name, field.type, held, field.default


def _plain(kind: inspect.Type) -> inspect.Type:
    return _plain(kind.type) if isinstance(kind, inspect.Metadata) else kind


def _written(site: Site, name: str) -> Source | None:
    """Where it was written, perhaps with a slash at the end; a value that is a mapping is where its first key
    is, in each file, and as secret as any of them."""
    found = site.sources.get(name) or site.sources.get(f"{name}/")
    begins = f"{name}.", f"{name}/."
    below = [source for key, source in site.sources.items() if key.startswith(begins)]
    if found is not None or not below:
        return found
    return Source(_places(below), any(each.private for each in below), any(each.expanded for each in below))


def _places(written: Sequence[Source]) -> str:
    """The first in each file; an option is as one."""
    first: dict[str, str] = {}
    for each in written:
        first.setdefault(each.text.partition(":")[0], each.text)
    return ", ".join(first.values())


def _is_secret(name: str, kind: inspect.Type, source: Source) -> bool:
    if name.startswith("env.") or name.rpartition(".")[2] == "token" or source.private:
        return True
    return source.expanded and _is_free(kind)


def _is_free(kind: inspect.Type, unit: str = "") -> bool:
    match kind:
        case inspect.Metadata():
            return _is_free(kind.type, (kind.extra_json_schema or {}).get("unit", unit))
        case inspect.UnionType():
            return any(_is_free(member, unit) for member in kind.types)
        case inspect.VarTupleType():
            return _is_free(kind.item_type, unit)
        case inspect.StructType() if not unit:
            return any(_is_free(field.type) for field in kind.fields)
    return isinstance(kind, inspect.StrType) and unit in _FREE


def _spell(kind: inspect.Type, value: Any, unit: str = "") -> str:
    if value is None:
        return "null"
    match kind:
        case inspect.Metadata():
            return _spell(kind.type, value, (kind.extra_json_schema or {}).get("unit", unit))
        case inspect.UnionType() if not unit:
            return _spell(next(each for each in kind.types if _has(each, value)), value)
        case inspect.VarTupleType():
            items = [_spell(kind.item_type, item, unit) for item in value]
            return items[0] if len(items) == 1 else f"[{', '.join(items)}]"
        case inspect.DictType():
            entries = (f"{spell(key, '')}: {_spell(kind.value_type, each)}" for key, each in value.items())
            return f"{{{', '.join(entries)}}}"
    if isinstance(value, UnixAddress) and (value.mode, value.owner, value.group) != (0o666, None, None):
        return _mapping(value)
    if isinstance(value, Struct) and unit != "address":
        return _mapping(value)
    return spell(str(value) if isinstance(value, Struct) else value, unit)


def _mapping(value: Struct) -> str:
    """With the entries that are set."""
    kind = inspect.type_info(type(value))
    assert isinstance(kind, inspect.StructType)
    held = ((field, getattr(value, field.name)) for field in kind.fields)
    entries = (
        f"{field.encode_name}: {_spell(field.type, each)}" for field, each in held if each not in (None, ())
    )
    return f"{{{', '.join(entries)}}}"


_TYPES: Final[dict[type, type]] = {
    inspect.BoolType: bool,
    inspect.IntType: int,
    inspect.FloatType: float,
    inspect.StrType: str,
    inspect.StructType: Struct,
    inspect.VarTupleType: tuple,
    inspect.DictType: dict,
}


def _has(kind: inspect.Type, value: Any) -> bool:
    """Whether a member of a union is the one of this value."""
    plain = _plain(kind)
    if isinstance(plain, inspect.LiteralType):
        return value in plain.values
    wanted = _TYPES.get(type(plain))
    return wanted is not None and isinstance(value, wanted) and (wanted is bool) == isinstance(value, bool)
