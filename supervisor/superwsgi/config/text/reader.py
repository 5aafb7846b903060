"""From a tree of text to a Site: one walk along the Structs of schema.py, which stay the only list of keys.

A value that does not fit is reported and left out, so that all mistakes of a file are found at once. A
field's grammar is chosen by its `unit`, or by its type where it has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect

from superwsgi.config.errors import Problem, SourcePlace, nearest, one_of
from superwsgi.config.grammar import addresses, import_strings, other_servers, proxies, values
from superwsgi.config.grammar.values import Invalid
from superwsgi.config.schema import Site
from superwsgi.config.text.tree import Items, Keys, Node, Text, Unusable

_FAILED: Final[Any] = object()

_TRUTHS: Final[Mapping[str | None, str]] = {"switch": "on or off", "consent": "yes or no"}
"""The words that a message expects; each accepts the words of the others, too."""


class Reader:
    """Reads values by type. `places` has the keys that were read, `values` each with its value, which may be
    one of several, and `failed` the keys with a problem."""

    def __init__(self, folder: Path, problems: list[Problem], label: Callable[[str], str] = str) -> None:
        self.places: dict[str, SourcePlace | None] = {}
        self.values: dict[tuple[str, str], SourcePlace | None] = {}
        self.failed: set[str] = set()
        self._problems = problems
        self._label = label
        self._units = self._units_in(folder)

    def _units_in(self, folder: Path) -> dict[str, Callable[[str], Any]]:
        """The grammars of units, for text whose relative paths start at this folder."""
        return {
            "account": values.account,
            "address": partial(addresses.address, folder=folder),
            "application": partial(import_strings.application, folder=folder),
            "command": values.command,
            "companion": values.companion,
            "control": partial(addresses.control_path, folder=folder),
            "format": values.log_format,
            "function": import_strings.function,
            "health": import_strings.health_path,
            "host_name": addresses.host_name,
            "log": partial(values.log_file, folder=folder),
            "mount": import_strings.mount,
            "name": values.name,
            "network": addresses.network,
            "octal": values.octal,
            "page": import_strings.page,
            "path": partial(values.path, folder=folder),
            "places": values.places,
            "percent": values.percent,
            "prefix": import_strings.path_prefix,
            "proxy_field": proxies.field,
            "root": proxies.root,
            "rule": import_strings.rule_path,
            "sample": values.sample,
            "server_name": addresses.server_name,
            "size": values.size,
            "socket": partial(addresses.socket_path, folder=folder),
            "threshold": values.threshold,
            "cooling": values.cooling,
            "tolerance": values.tolerance,
            "variable": values.variable,
        }

    def report(self, path: str, message: str, hint: str = "", place: SourcePlace | None = None) -> None:
        self.failed.add(path)
        self._problems.append(Problem(place, f"{self._label(path)}: {message}", hint))

    def read(self, kind: inspect.Type, node: Node, path: str, otherwise: Any = _FAILED) -> Any:
        """The value of the key at `path`; where it does not fit it is reported, and `otherwise` returned."""
        self.places.setdefault(path, node.place)
        if isinstance(node, Unusable):
            self.failed.add(path)
            return otherwise
        try:
            value = self._value(kind, node, path)
        except Invalid as error:
            hint = "" if _is_private(node) else error.hint
            self.report(path, f"expected {error.expected}, got {node}", hint, node.place)
            return otherwise
        if value is _FAILED:
            return otherwise
        self.values.setdefault((path, str(value)), node.place)
        return value

    def struct(self, kind: inspect.StructType, node: Node, path: str, given: Mapping[str, Any]) -> Any:
        """A Struct of what the mapping has, on top of `given`; the rest are its defaults."""
        fields = {field.encode_name: field for field in kind.fields}
        found = dict(given)
        for key, entry in _mapping(node, fields).entries.items():
            below = f"{path}.{key}" if path else key
            if key not in fields:
                self._unknown(below, entry.key, fields)
                continue
            value = self.read(fields[key].type, entry.value, below)
            if value is not _FAILED:
                found[fields[key].name] = value
        return kind.cls(**found) if self._complete(fields.values(), found, node, path) else _FAILED

    def _complete(
        self, fields: Iterable[inspect.Field], found: Mapping[str, Any], node: Node, path: str
    ) -> bool:
        missing = [field.encode_name for field in fields if field.required and field.name not in found]
        for key in missing:
            if f"{path}.{key}" not in self.failed:
                self.report(path, f"key {key!r} is missing", place=node.place)
        return not missing

    def _unknown(self, path: str, key: Text, fields: Iterable[str]) -> None:
        nested = "." in path
        known = list(fields) if nested else ["app", *fields]
        hint = _of_another_server(path, key.text) or (_shorter(key.text, known) if nested else "")
        above = path.removesuffix(key.text).replace(" ", ".") if _is_option(key) else ""
        hint = hint or _elsewhere(key.text) or nearest(key.text, known, above) or f"known: {', '.join(known)}"
        self.failed.add(path)  # nobody knows what it was to be
        self._problems.append(Problem(key.place, f"unknown key {path!r}", hint))

    def _value(self, kind: inspect.Type, node: Node, path: str, unit: str | None = None) -> Any:
        match kind:
            case inspect.Metadata():
                return self._value(kind.type, node, path, (kind.extra_json_schema or {}).get("unit", unit))
            case inspect.StructType():
                return self.struct(kind, node, path, {})
            case inspect.DictType():
                return self._dict(kind, node, path)
            case inspect.VarTupleType():
                return self._tuple(kind, node, path)
            case inspect.UnionType() if unit and isinstance(node, Keys):
                return self.struct(_written_as_mapping(kind), node, path, {})
            case inspect.UnionType() if not unit:
                return self._union(kind, node, path)
        return _scalar(self._grammar(kind, unit, node), node)

    def _grammar(self, kind: inspect.Type, unit: str | None, node: Node) -> Callable[[str], Any]:
        match kind:
            case inspect.FloatType() if unit == "duration":
                return partial(values.duration, above_zero=kind.gt is not None)
            case inspect.IntType() if not unit:
                most = None if kind.le is None else int(kind.le)
                return partial(values.whole, least=int(kind.ge or 0), most=most)
            case inspect.LiteralType():
                return partial(values.choice, words=tuple(map(str, kind.values)))
            case inspect.BoolType():
                return partial(values.truth, expected=_TRUTHS.get(unit, "true or false"))
        if not unit:
            return values.text
        folder = node.folder if isinstance(node, Text) else None
        return (self._units if folder is None else self._units_in(folder))[unit]

    def _union(self, kind: inspect.UnionType, node: Node, path: str) -> Any:
        members = [member for member in kind.types if not isinstance(member, inspect.NoneType)]
        if isinstance(node, Text) and node.null and len(members) < len(kind.types):
            return None
        refusals: list[Invalid] = []
        for member in members:
            try:
                if isinstance(member, inspect.StructType) and not isinstance(node, Keys):
                    raise Invalid(f"a mapping of {_needed(member)}")
                return self._value(member, node, path)
            except Invalid as error:
                refusals.append(error)
        hint = next((error.hint for error in refusals if error.hint), "")
        raise Invalid(", or ".join(error.expected for error in refusals), hint)

    def _tuple(self, kind: inspect.VarTupleType, node: Node, path: str) -> tuple[Any, ...]:
        """A list; a single item may be written without one."""
        nodes = node.items if isinstance(node, Items) else (node,)
        if len(nodes) < (kind.min_length or 0):
            raise Invalid("at least one")
        return tuple(self._distinct(kind.item_type, nodes, path))

    def _distinct(self, kind: inspect.Type, nodes: Iterable[Node], path: str) -> Iterator[Any]:
        seen: set[str] = set()
        for node in nodes:
            value = self.read(kind, node, path)
            if str(value) in seen:
                shown = node if _is_private(node) else value
                self.report(path, f"{shown} is listed twice", place=node.place)
            elif value is not _FAILED:
                seen.add(str(value))
                yield value

    def _dict(self, kind: inspect.DictType, node: Node, path: str) -> dict[str, Any]:
        entries = _mapping(node).entries
        if len(entries) < (kind.min_length or 0):
            raise Invalid("at least one")
        found: dict[str, Any] = {}
        for written, entry in entries.items():
            below = f"{path} {written}"
            key = self.read(kind.key_type, entry.key, below)
            value = self.read(kind.value_type, entry.value, below if key is _FAILED else f"{path} {key}")
            if key in found:
                self.report(below, f"is the same as {key!r} above", place=entry.key.place)
            elif key is not _FAILED and value is not _FAILED:
                found[key] = value
        return found


def _is_option(key: Text) -> bool:
    """Whether it was not written in a file, below another one."""
    return key.place is not None and not key.place.line


def _is_private(node: Node) -> bool:
    return isinstance(node, Text) and bool(node.private)


def _mapping(node: Node, known: Iterable[str] = ()) -> Keys:
    """A mapping; a key with nothing below it is an empty one."""
    if isinstance(node, Keys):
        return node
    if isinstance(node, Text) and node.null:
        return Keys({}, node.place)
    raise Invalid("a mapping of keys", f"known: {', '.join(known)}" if known else "")


def _needed(kind: inspect.StructType) -> str:
    """The keys that a mapping has to have."""
    return " and ".join(field.encode_name for field in kind.fields if field.required)


def _scalar(parse: Callable[[str], Any], node: Node) -> Any:
    if isinstance(node, Text) and not node.null:
        return parse(node.text)
    parse("")  # raises with what it expects
    raise Invalid("text", 'for an empty value write ""' if isinstance(node, Text) else "put quotes around it")


def _written_as_mapping(kind: inspect.UnionType) -> inspect.StructType:
    """Of the address types the one that may be written with keys: that of unix sockets."""
    return next(
        member for member in kind.types if isinstance(member, inspect.StructType) and member.tag == "unix"
    )


def _of_another_server(path: str, word: str) -> str:
    if path.startswith("companions "):
        return other_servers.companion_hint(word)
    return "" if "." in path else other_servers.hint(word)


def _shorter(word: str, known: Iterable[str]) -> str:
    """The hint for a key that is written out: `minimum` beside `min`."""
    found = [key for key in known if word.startswith(key)]
    return f"did you mean {max(found, key=len)!r}?" if found else ""


def _elsewhere(word: str) -> str:
    """The hint for a key that exists in another mapping."""
    paths = [repr(path) for path in key_paths(SITE) if path.rpartition(".")[2] == word]
    return f"did you mean {one_of(paths)}?" if paths else ""


def key_paths(kind: inspect.StructType, above: str = "") -> Iterator[str]:
    """Every key of a Struct and those below it, dotted."""
    for field in kind.fields:
        yield f"{above}{field.encode_name}"
        for below in mappings(field.type):
            yield from key_paths(below, f"{above}{field.encode_name}.")


def mappings(kind: inspect.Type) -> Iterator[inspect.StructType]:
    """The Structs that a value may be."""
    plain = kind.type if isinstance(kind, inspect.Metadata) else kind
    for member in plain.types if isinstance(plain, inspect.UnionType) else (plain,):
        if isinstance(member, inspect.StructType):
            yield member


def _type_of_site() -> inspect.StructType:
    kind = inspect.type_info(Site)
    assert isinstance(kind, inspect.StructType)
    return msgspec.structs.replace(kind, fields=tuple(each for each in kind.fields if each.name != "sources"))


SITE: Final = _type_of_site()
