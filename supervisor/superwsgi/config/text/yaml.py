"""YAML text to a tree of text with places: anchors and merges followed, variables put in, doubled keys found.

PyYAML only parses here (`compose`): nothing is constructed, so no tag can make an object and no scalar
becomes a date, a truth value or a number in base 60 on its way.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from superwsgi.config.errors import ConfigError, Problem, SourcePlace
from superwsgi.config.text.tree import Entry, Items, Keys, Node, Text, Unusable, is_usable
from superwsgi.config.text.variables import Unset, expand, is_private, references
from superwsgi.config.text.yaml_errors import explain

_TAG: Final = "tag:yaml.org,2002:"
_UNTAGGED: Final = frozenset(
    ("str", "int", "float", "bool", "null", "timestamp", "merge", "value", "seq", "map")
)
"""What a value without a tag of its own resolves to."""


def parse(
    data: bytes,
    file: str,
    environ: Mapping[str, str],
    problems: list[Problem],
    folder: Path,
    private: frozenset[str] = frozenset(),
) -> Node | None:
    """The tree of a file's content, None if nothing is in it; `problems` gets what is wrong with values.

    Files in values start at `folder`; what the variables `private` hold is not to be shown. Raises
    ConfigError for what is not YAML.
    """
    text = _decode(data, file)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        return _Document(file, text, environ, problems, folder, private).node(root) if root else None
    except yaml.YAMLError as error:
        line, column, message, hint = explain(error, text)
        raise ConfigError([Problem(_place(file, text.splitlines(), line, column), message, hint)]) from None
    except RecursionError:
        raise ConfigError([Problem(SourcePlace(file), "lists or mappings are nested too deeply")]) from None


def _decode(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig").split("\n")
        place = SourcePlace(file, len(before), len(before[-1]) + 1)
        raise ConfigError([Problem(place, "not UTF-8 text", "save the file in UTF-8")]) from None


def _place(file: str, lines: list[str], line: int, column: int) -> SourcePlace:
    return SourcePlace(file, line + 1, column + 1, lines[line] if line < len(lines) else "")


class _Document:
    """One file on its way from YAML's nodes to ours."""

    def __init__(
        self,
        file: str,
        text: str,
        environ: Mapping[str, str],
        problems: list[Problem],
        folder: Path,
        private: frozenset[str],
    ) -> None:
        self._folder = folder
        self._private = private
        self._file = file
        self._lines = text.splitlines()
        self._environ = environ
        self._problems = problems
        self._made: dict[yaml.Node, Node] = {}  # an alias is the anchor's node again
        self._open: set[yaml.Node] = set()

    def node(self, source: yaml.Node) -> Node:
        if source in self._open:
            return self._unusable(source, "this anchor contains an alias of itself")
        if source not in self._made:
            self._open.add(source)
            self._made[source] = self._make(source)
            self._open.remove(source)
        return self._made[source]

    def _make(self, source: yaml.Node) -> Node:
        if source.tag.removeprefix(_TAG) not in _UNTAGGED:
            tag = source.tag.replace(_TAG, "!!")
            return self._unusable(source, f"tags such as {tag} have no meaning here", "leave it out")
        if isinstance(source, yaml.MappingNode):
            return Keys(self._entries(source), self._place(source))
        if isinstance(source, yaml.SequenceNode):
            return Items(tuple(map(self.node, source.value)), self._place(source))
        assert isinstance(source, yaml.ScalarNode)
        return self._scalar(source)

    def _scalar(self, source: yaml.ScalarNode) -> Node:
        try:
            text = expand(source.value, self._environ, self._folder)
        except Unset as error:
            return self._unusable(source, str(error), error.hint)
        if not is_usable(text):
            return self._unusable(source, "this value contains a NUL or bytes that are not UTF-8")
        plain = source.style is None
        null = plain and (source.tag == _TAG + "null" or not text)
        private = source.value if is_private(source.value, self._private) else ""
        return Text(text, self._place(source), null, private, references(source.value))

    def _entries(self, source: yaml.MappingNode) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key, value in source.value:
            if key.tag == _TAG + "merge":
                merged = {**self._merged(value), **merged}
            elif not isinstance(key, yaml.ScalarNode) or not is_usable(key.value):
                self._unusable(key, "a key must be plain text, not a list or mapping")
            elif key.value in entries:
                first = entries[key.value].key.place
                self._unusable(key, f"duplicate key {key.value!r}", f"first at {first}")
            else:
                entries[key.value] = Entry(Text(key.value, self._place(key)), self.node(value))
        return {**merged, **entries}

    def _merged(self, source: yaml.Node) -> dict[str, Entry]:
        """What `<<` adds: of a list of mappings the first that has a key wins (yaml.org/type/merge.html)."""
        node = self.node(source)
        parts = node.items if isinstance(node, Items) else (node,)
        merged: dict[str, Entry] = {}
        for part in parts:
            if isinstance(part, Keys):
                merged = {**part.entries, **merged}
            elif not isinstance(part, Unusable):
                self._unusable(source, f"<< takes a mapping or a list of mappings, got {part}")
        return merged

    def _place(self, source: yaml.Node) -> SourcePlace:
        return _place(self._file, self._lines, source.start_mark.line, source.start_mark.column)

    def _unusable(self, source: yaml.Node, message: str, hint: str = "") -> Unusable:
        place = self._place(source)
        self._problems.append(Problem(place, message, hint))
        return Unusable(place)
