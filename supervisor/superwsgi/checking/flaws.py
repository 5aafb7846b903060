"""What can be wrong with a site on this machine, and where its file says so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from superwsgi.config.errors import Problem
from superwsgi.config.loading import ValuePlaces


@dataclass(frozen=True, slots=True)
class Flaw:
    """`message` names the `key`, and `hint` says what to do; `value` is which one of several. A site with a
    `harmless` one would start all the same."""

    key: str
    message: str
    hint: str = ""
    value: object = None
    harmless: bool = False

    def at(self, places: ValuePlaces | None) -> Problem:
        """With its place, where a file has one."""
        return Problem(None if places is None else places.of(self.key, self.value), self.message, self.hint)


def distinct(flaws: Iterable[Flaw]) -> list[Flaw]:
    """Each once: what two keys lead to is said at the first."""
    return list({(flaw.message, flaw.harmless): flaw for flaw in reversed([*flaws])}.values())[::-1]
