"""What is wrong with a configuration: every problem with its place, all of them at once.

Nothing here knows YAML or the keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from superwsgi.config.schema import Site

_WIDEST_EXCERPT: Final = 160
"""Source lines longer than this are not shown below their problem."""

_SECRET: Final = re.compile(r"\btoken\b")
"""What a source line has that may hold a secret: whoever reads a log is not to see it."""


@dataclass(frozen=True, slots=True)
class SourcePlace:
    """A position in a file, from 1, with the text of its line; line 0 is the file as a whole. An option is
    a file of its own: `--set timeouts.request=5`."""

    file: str
    line: int = 0
    column: int = 0
    source: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def excerpt(self) -> str:
        """The line and a caret below the column; empty where there is nothing to show, or a secret."""
        if not self.source.strip() or len(self.source) > _WIDEST_EXCERPT or _SECRET.search(self.source):
            return ""
        number = f"{self.line:5}"
        source = "".join(char if char.isprintable() else " " for char in self.source).rstrip()
        return f"\n{number} | {source}\n{' ' * len(number)} | {' ' * (self.column - 1)}^"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `hint` says what to write instead; an option of the command line has no place."""

    place: SourcePlace | None
    message: str
    hint: str = ""

    def __str__(self) -> str:
        what = f"{self.message}: {self.hint}" if self.hint else self.message
        return f"{self.place}: {what}{self.place.excerpt()}" if self.place else what

    @property
    def position(self) -> tuple[int, int]:
        return (self.place.line, self.place.column) if self.place else (0, 0)


class ConfigError(Exception):
    """A configuration that cannot be used; `problems` in the order of the file.

    `site` is what could be read of it, None where nothing could. A key in `failed` has its default there,
    which proves nothing.
    """

    def __init__(
        self, problems: Iterable[Problem], site: Site | None = None, failed: Iterable[str] = ()
    ) -> None:
        self.problems = in_order(problems)
        self.site = site
        self.failed = frozenset(failed)
        super().__init__("\n".join(map(str, self.problems)))


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Each once, in the order of the file."""
    return tuple(dict.fromkeys(sorted(problems, key=lambda problem: problem.position)))


def nearest(word: str, known: Iterable[str], above: str = "") -> str:
    """The hint for a word that is not one of `known`, which are below `above`; empty where none is near."""
    found = get_close_matches(word.lower(), list(known), n=1)
    return f"did you mean {above + found[0]!r}?" if found else ""


def one_of(words: Sequence[str], conjunction: str = "or") -> str:
    """`a, b or c`."""
    *first, last = words
    return f"{', '.join(first)} {conjunction} {last}" if first else last
