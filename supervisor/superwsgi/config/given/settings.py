"""`--set KEY=VALUE`: any key of the site file, with a value in YAML.

A key is dotted, `timeouts.request`. Names that the operator chooses may have dots themselves:
`paths./v1.2/reports.request` and `apps.api.example.com/v1` are taken apart by what the schema has there, and
`paths."/v1.request".request` by quotes where that is not enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import inspect

from superwsgi.config.errors import ConfigError, Problem, SourcePlace, nearest
from superwsgi.config.given.merging import inside
from superwsgi.config.text import yaml
from superwsgi.config.text.reader import SITE, key_paths, mappings
from superwsgi.config.text.tree import Entry, Items, Keys, Node, Text, Unusable, is_usable

OPTION: Final = "--set"

_LONGEST: Final = 60
"""Characters of a value in a message."""

_QUOTED: Final = re.compile(r"""(?:"([^"]*)"|'([^']*)')(?:\.|\Z)""")
_WORD: Final = re.compile(r"\w+")
_QUOTE: Final = "put quotes around it, inside of the shell's"


class Setting:
    """One of them, on its way to a tree; relative paths in it start at `folder`. It is an option, unless it
    stands in another `place`."""

    def __init__(self, key: str, text: str, folder: Path | None, place: SourcePlace | None = None) -> None:
        self._key = key
        self._text = text
        self._folder = folder
        self._stands = place

    def tree(
        self, environ: Mapping[str, str], problems: list[Problem], private: frozenset[str] = frozenset()
    ) -> Keys:
        """It as a mapping; `problems` gets what is wrong with its value, and nothing that may be a secret."""
        wrong: list[Problem] = []
        broken: Sequence[Problem] = ()
        try:
            node = self._read(environ, wrong, private)
            names = list(_names(node))
        except ConfigError as error:
            node, names = Unusable(), _WORD.findall(self._text)
            broken = error.problems
        keys = list(keys_in(self._key, isinstance(node, Keys)))
        secret = _is_secret([*keys, *names])
        place = self._stands or self._place(secret=secret)
        if secret and broken:  # there are pieces of it in the message
            broken = [Problem(None, "its value is not YAML", _QUOTE)]
        problems += [Problem(place, each.message, each.hint) for each in (*wrong, *broken)]
        return inside(keys, _placed(node, place, self._folder))

    def _read(self, environ: Mapping[str, str], problems: list[Problem], private: frozenset[str]) -> Node:
        """Raises ConfigError for what is not YAML."""
        if not is_usable(self._text):
            problems.append(Problem(None, "its value is not UTF-8 text"))
            return Unusable()
        folder = self._folder or Path()
        node = yaml.parse(self._text.encode(), OPTION, environ, problems, folder, private)
        if node is None and self._text.strip():
            problems.append(Problem(None, "a value that begins with # is a comment in YAML", _QUOTE))
            return Unusable()
        return node or Text("", null=True)

    def _place(self, *, secret: bool) -> SourcePlace:
        """The option as it was typed."""
        text = self._text if len(self._text) <= _LONGEST else f"{self._text[: _LONGEST - 3]}..."
        return SourcePlace(f"{OPTION} {self._key}={'***' if secret else text}")


def _is_secret(names: list[str]) -> bool:
    """Whether the first of these keys, or one in the value, is for secrets, or is hardly misspelled."""
    return bool(nearest(names[0], ["env"]) or any(nearest(name, ["token"]) for name in names))


def _names(node: Node) -> Iterator[str]:
    """All keys in it."""
    if isinstance(node, Keys):
        for key, entry in node.entries.items():
            yield key
            yield from _names(entry.value)
    elif isinstance(node, Items):
        for item in node.items:
            yield from _names(item)


def _placed(node: Node, place: SourcePlace, folder: Path | None) -> Node:
    """The node with this place everywhere in it."""
    match node:
        case Text():
            return Text(node.text, place, node.null, node.private, node.variables, folder)
        case Items():
            return Items(tuple(_placed(item, place, folder) for item in node.items), place)
        case Keys():
            entries = {
                key: Entry(Text(key, place), _placed(entry.value, place, folder))
                for key, entry in node.entries.items()
            }
            return Keys(entries, place)
    return Unusable(place)


# How a dotted key is taken apart. `whole` says that its value is a mapping, so it ends where one may be.


def keys_in(key: str, whole: bool) -> Iterator[str]:
    """`paths`, `/reports` and `request` for `paths./reports.request`."""
    return _in_struct(SITE, key, whole)


def _in_struct(kind: inspect.StructType, rest: str, whole: bool) -> Iterator[str]:
    name, dot, below = rest.partition(".")
    yield name
    if dot:
        field = next((each for each in kind.fields if each.encode_name == name), None)
        yield from _inside(field.type, below, whole) if field else below.split(".")


def _inside(kind: inspect.Type, rest: str, whole: bool) -> Iterator[str]:
    for member in _members(kind):
        if isinstance(member, inspect.StructType):
            return _in_struct(member, rest, whole)
        if isinstance(member, inspect.DictType):
            return _in_names(member, rest, whole)
    return iter(rest.split("."))


def _in_names(kind: inspect.DictType, rest: str, whole: bool) -> Iterator[str]:
    """One that the operator has chosen, and what is below it."""
    quoted = _QUOTED.match(rest)
    structs = list(mappings(kind.value_type))
    if quoted:
        end = quoted.end()
        yield next(name for name in quoted.groups() if name is not None)
    else:
        end = _end_of_name(kind, structs, rest, whole)
        yield rest[: end - 1] if end < len(rest) or rest.endswith(".") else rest
    if end < len(rest):
        yield from _in_struct(structs[0], rest[end:], whole) if structs else rest[end:].split(".")


def _end_of_name(kind: inspect.DictType, structs: list[inspect.StructType], rest: str, whole: bool) -> int:
    """Where what follows the name and its dot begins; the length where nothing does."""
    ends = [found.end() for found in re.finditer(r"\.", rest)] if structs else []
    known = {key for struct in structs for key in key_paths(struct)}
    above = {key.rpartition(".")[0] for key in known} - {""}
    exact = [end for end in ends if rest[end:] in (above if whole else known)]
    if exact or whole or not ends:
        return exact[0] if exact else len(rest)
    begun = [end for end in ends if rest[end:].partition(".")[0] in above]
    last = rest[ends[-1] :]
    only_mappings = len(structs) == len(_members(kind.value_type))
    meant = "/" not in last and (only_mappings or nearest(last, known))
    return (begun or ([ends[-1]] if meant else [len(rest)]))[0]


def _members(kind: inspect.Type) -> list[inspect.Type]:
    """The types that a value may be, without that of nothing."""
    if isinstance(kind, inspect.Metadata):
        return _members(kind.type)
    if isinstance(kind, inspect.UnionType):
        return [each for member in kind.types for each in _members(member)]
    return [] if isinstance(kind, inspect.NoneType) else [kind]
