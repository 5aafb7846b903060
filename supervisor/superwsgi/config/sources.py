"""Where the value of each key was written. It is noted as a site is loaded, and kept with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from superwsgi.config.text.tree import Items, Keys, Node, Text


class Source(Struct, frozen=True):
    """`text` is the place for an operator: `site.yaml:12`, `--bind`, `.env:3`. `private`: what it holds is
    not to be shown; `expanded`: the value has something from a variable in it."""

    text: str
    private: bool = False
    expanded: bool = False


Sources = dict[str, Source]
"""By key, with dots."""


def of_tree(top: Keys, elsewhere: Mapping[str, str]) -> Sources:
    """Of what a site file says; `elsewhere` has where variables are set that are not in the environment."""
    return {key: _source(node, elsewhere) for key, node in _leaves(top)}


def of_variables(places: Mapping[str, str]) -> Sources:
    """Of environment variables that another file sets."""
    return {f"env.{name}": Source(place, private=True) for name, place in places.items()}


def _leaves(node: Keys, above: str = "") -> Iterator[tuple[str, Node]]:
    for key, entry in node.entries.items():
        if isinstance(entry.value, Keys):
            yield from _leaves(entry.value, f"{above}{key}.")
        else:
            yield above + key, entry.value


def _source(node: Node, elsewhere: Mapping[str, str]) -> Source:
    texts = list(_texts(node))
    names = dict.fromkeys(name for text in texts for name in text.variables)
    place = f"{Path(node.place.file).name}:{node.place.line}" if node.place is not None else ""
    parts = [place, *(_variable(name, elsewhere) for name in names)]
    return Source(
        ", ".join(filter(None, parts)), private=any(text.private for text in texts), expanded=bool(names)
    )


def _variable(name: str, elsewhere: Mapping[str, str]) -> str:
    return f"${{{name}}}" + (f" of {elsewhere[name]}" if name in elsewhere else "")


def _texts(node: Node) -> Iterator[Text]:
    if isinstance(node, Text):
        yield node
    elif isinstance(node, Items):
        for item in node.items:
            yield from _texts(item)
    elif isinstance(node, Keys):
        for entry in node.entries.values():
            yield from _texts(entry.value)
