"""What a command line says of a site, as a tree of text like that of a site file: the options that have a
name of their own, and `--set`.

The value of a named option is taken as it is, for a shell has put its variables in already. That of `--set`
is as in a site file, `${NAME}` included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from superwsgi.config.errors import Problem
from superwsgi.config.given.merging import at_keys, clashes, merged
from superwsgi.config.given.settings import Setting
from superwsgi.config.grammar.proxies import SCRIPT_NAME
from superwsgi.config.text.tree import Entry, Items, Keys, Node, Text, Unusable, is_usable

_MOUNTED: Final = f"env.{SCRIPT_NAME}"
"""It is `root`, too."""

Value = str | Sequence[str] | Mapping[str, str]


@dataclass(frozen=True)
class CommandLine:
    """`options` by key of the site file; messages call them by `names`. `settings` are those of `--set`, in
    their order, `defaults` the like, for keys of which nothing else is said. Relative paths start at
    `folder`, or without one at that of the site."""

    options: Mapping[str, Value] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    settings: Sequence[tuple[str, str]] = ()
    defaults: Sequence[tuple[str, str]] = ()
    folder: Path | None = None

    def tree(
        self, environ: Mapping[str, str], problems: list[Problem], private: frozenset[str] = frozenset()
    ) -> Keys:
        """All but the defaults; `problems` gets what is wrong. What the variables `private` hold is not to be
        shown."""
        named = at_keys({key: self._node(key, value, problems) for key, value in self.options.items()})
        settings = self._merged(self.settings, environ, problems, private)
        for option, place in clashes(named, settings):
            name = self.labels.get(option, option)
            problems.append(Problem(place, f"{name} says this, too", "keep one of them"))
        return merged(settings, named)

    def defaults_tree(self, problems: list[Problem]) -> Keys:
        """What is said by nobody."""
        return self._merged(self.defaults, {}, problems, frozenset())

    @property
    def labels(self) -> dict[str, str]:
        """The options by the keys that messages of the reader have."""
        found: dict[str, str] = {}
        for key, value in self.options.items():
            name = self.names.get(key, key)
            found |= {f"{key} {each}": name for each in value} if isinstance(value, Mapping) else {key: name}
        return found

    @property
    def sources(self) -> dict[str, str]:
        """The options by dotted keys."""
        found = {key.replace(" ", "."): name for key, name in self.labels.items()}
        return {"root": found[_MOUNTED], **found} if _MOUNTED in found else found

    def _merged(
        self,
        settings: Sequence[tuple[str, str]],
        environ: Mapping[str, str],
        problems: list[Problem],
        private: frozenset[str],
    ) -> Keys:
        top = Keys()
        for key, text in settings:
            top = merged(top, Setting(key, text, self.folder).tree(environ, problems, private))
        return top

    def _node(self, key: str, value: Value, problems: list[Problem]) -> Node:
        if isinstance(value, str):
            return self._text(key, value, problems)
        if isinstance(value, Mapping):
            return Keys(
                {each: Entry(Text(each), self._text(key, text, problems)) for each, text in value.items()}
            )
        return Items(tuple(self._text(key, text, problems) for text in value))

    def _text(self, key: str, value: str, problems: list[Problem]) -> Node:
        if is_usable(value):
            return Text(value, folder=self.folder)
        problems.append(Problem(None, f"{self.names.get(key, key)}: this is not UTF-8 text"))
        return Unusable()
