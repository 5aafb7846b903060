"""Trees of text laid over each other: what is said nearer to the operator, or later, wins key by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from superwsgi.config.errors import SourcePlace
from superwsgi.config.text.tree import Entry, Keys, Node, Text


def merged(below: Keys, above: Keys) -> Keys:
    """What both say: mappings with the keys of both, and for anything else what is `above`."""
    entries = dict(below.entries)
    for key, entry in above.entries.items():
        under = entries[key].value if key in entries else None
        if isinstance(under, Keys) and isinstance(entry.value, Keys):
            entry = Entry(entry.key, merged(under, entry.value))
        entries[key] = entry
    return Keys(entries, below.place or above.place)


def clashes(one: Keys, other: Keys, above: str = "") -> Iterator[tuple[str, SourcePlace | None]]:
    """The keys of `one` of which the other says something, too, and where: dotted, but the names in a mapping
    behind a space, as the reader calls them."""
    for key, entry in other.entries.items():
        if key not in one.entries:
            continue
        mine, path = one.entries[key].value, f"{above}{key}"
        if isinstance(mine, Keys) and isinstance(entry.value, Keys):
            yield from clashes(mine, entry.value, f"{path} " if path == "env" else f"{path}.")
        else:
            yield path, entry.value.place


def at_keys(nodes: Mapping[str, Node]) -> Keys:
    """A tree of nodes by dotted keys."""
    top = Keys()
    for key, node in nodes.items():
        top = merged(top, inside(key.split("."), node))
    return top


def inside(keys: Sequence[str], node: Node) -> Keys:
    """The node inside of these keys, the outermost first, and with its place."""
    for key in reversed(keys):
        node = Keys({key: Entry(Text(key, node.place), node)}, node.place)
    assert isinstance(node, Keys)
    return node
