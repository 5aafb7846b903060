"""Where the value of each key was written, from a tree of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from superwsgi.config.errors import SourcePlace
from superwsgi.config.sources import Source
from superwsgi.config.text.tree import Items, Keys, Node, Text

Sources = dict[str, Source]
"""By key, with dots."""

_DEEPEST: Final = 4
"""Keys below keys: no key of a site file has more, and what is wrong may be of any depth."""


def of_tree(top: Keys, elsewhere: Mapping[str, str], options: Mapping[str, str]) -> Sources:
    """Of what a site file says; `elsewhere` has where variables are set that are not in the environment, and
    `options`, by key, what has said that which stands in no place."""
    return {key: _source(node, elsewhere, options.get(key, "")) for key, node in _leaves(top)}


def of_variables(places: Mapping[str, str]) -> Sources:
    """Of environment variables that another file sets."""
    return {f"env.{name}": Source(place, private=True) for name, place in places.items()}


def _leaves(node: Keys, above: str = "", deeper: int = _DEEPEST) -> Iterator[tuple[str, Node]]:
    for key, entry in node.entries.items():
        if isinstance(entry.value, Keys) and deeper:
            yield from _leaves(entry.value, f"{above}{key}.", deeper - 1)
        else:
            yield above + key, entry.value


def _source(node: Node, elsewhere: Mapping[str, str], option: str) -> Source:
    texts = _texts(node)
    names = dict.fromkeys(name for text in texts for name in text.variables)
    parts = [
        option if node.place is None else _short(node.place),
        *(_variable(name, elsewhere) for name in names),
    ]
    return Source(
        ", ".join(filter(None, parts)), private=any(text.private for text in texts), expanded=bool(names)
    )


def _short(place: SourcePlace) -> str:
    """`site.yaml:12`; of an option only its name: its value may be secret."""
    return f"{Path(place.file).name}:{place.line}" if place.line else place.file.partition(" ")[0]


def _variable(name: str, elsewhere: Mapping[str, str]) -> str:
    return f"${{{name}}}" + (f" of {elsewhere[name]}" if name in elsewhere else "")


def _texts(node: Node) -> list[Text]:
    """Each once, however often aliases repeat what holds it."""
    found: dict[int, Node] = {id(node): node}
    waiting = [node]
    while waiting:
        inner = [each for each in _inner(waiting.pop()) if id(each) not in found]
        found |= {id(each): each for each in inner}
        waiting += inner
    return [each for each in found.values() if isinstance(each, Text)]


def _inner(node: Node) -> Iterable[Node]:
    if isinstance(node, Items):
        return node.items
    return [entry.value for entry in node.entries.values()] if isinstance(node, Keys) else ()
