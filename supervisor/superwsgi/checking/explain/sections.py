"""What an explanation is made of, and where the values in it come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from superwsgi.config.schema import Site
from superwsgi.config.shown import effective


@dataclass(frozen=True, slots=True)
class Fact:
    """`text` is for a person and `value`, of JSON's kinds, for a program; `source` is where it was written,
    empty for what was found out."""

    name: str
    text: str
    value: Any = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Facts that belong together."""

    title: str
    facts: tuple[Fact, ...]


def section(title: str, facts: Iterable[Fact]) -> Section:
    return Section(title, tuple(facts))


@dataclass(frozen=True, slots=True)
class Origins:
    """The keys of a site as they may be shown: secrets hidden, each with where it was written."""

    keys: Mapping[str, effective.ShownKey] = field(default_factory=dict)

    @classmethod
    def of(cls, site: Site) -> Origins:
        return cls({key.name: key for key in effective.keys(site)})

    def source(self, name: str) -> str:
        found = self.keys.get(name)
        return "" if found is None else found.source

    def text(self, name: str) -> str:
        found = self.keys.get(name)
        return "" if found is None else found.text

    def fact(self, name: str, text: str, value: Any = None, *, called: str = "") -> Fact:
        """One about the key of this name."""
        return Fact(called or name, text, value, self.source(name))

    def below(self, name: str) -> Iterator[effective.ShownKey]:
        """Those of a mapping with free keys."""
        return (key for each, key in self.keys.items() if each.startswith(f"{name}."))
