"""A configuration as a tree of text: what was written and where, before any of it means something.

A site file (yaml.py) and the options of the command line (loading.py) both become this tree, so that
one reader with one set of grammars reads both. Scalars keep the text as written: `1.10`, `on`, `0027` and
`1:30` reach their grammar untouched by YAML's guesses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from superwsgi.config.errors import SourcePlace


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar. `null` is one that says nothing: `key:`, `~`, or a variable without content; `private` is how
    one was written whose text is not to be shown, `variables` are those that were put in. Relative paths
    start at `folder`, if it has one of its own."""

    text: str
    place: SourcePlace | None = None
    null: bool = False
    private: str = ""
    variables: tuple[str, ...] = ()
    folder: Path | None = None

    def __str__(self) -> str:
        if self.private:
            return f"what {self.private} stands for"
        return "nothing" if self.null else repr(self.text if len(self.text) <= 60 else f"{self.text[:57]}...")


@dataclass(frozen=True, slots=True)
class Items:
    """A sequence."""

    items: tuple[Node, ...]
    place: SourcePlace | None = None

    def __str__(self) -> str:
        return "a list" if self.items else "an empty list"


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and its value."""

    key: Text
    value: Node


@dataclass(frozen=True, slots=True)
class Keys:
    """A mapping, by the text of its keys."""

    entries: dict[str, Entry] = field(default_factory=dict)
    place: SourcePlace | None = None

    def __str__(self) -> str:
        return "a mapping" if self.entries else "an empty mapping"


@dataclass(frozen=True, slots=True)
class Unusable:
    """A value whose problem has been reported."""

    place: SourcePlace | None = None


Node = Text | Items | Keys | Unusable


def is_usable(text: str) -> bool:
    """Escapes, variables and arguments can bring what neither a path, the environment nor a message can
    hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
