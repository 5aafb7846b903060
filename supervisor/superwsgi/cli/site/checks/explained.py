"""An explanation of a site as lines: name, text, and on the right where it was written."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Final

import click

from superwsgi.checking.explain.sections import Fact, Section
from superwsgi.log.spelling import printable

WIDTH: Final = 80
_NAMES: Final = 21
_SOURCES: Final = 18
"""Columns for names, and for sources that stand beside their text; longer ones go below it."""


def lines(sections: Iterable[Section]) -> Iterator[str]:
    for each in sections:
        yield click.style(each.title, bold=True)
        for fact in each.facts:
            yield from _fact(fact)
        yield ""


def _fact(fact: Fact) -> Iterator[str]:
    source = printable(fact.source)
    beside = len(source) <= _SOURCES
    room = WIDTH - _NAMES - (len(source) + 2 if beside and source else 0)
    first, *more = textwrap.wrap(printable(fact.text), room, break_on_hyphens=False) or [""]
    if not beside:
        more += textwrap.wrap(f"({source})", room, break_on_hyphens=False)
    right = _dim(f"  {source}") if beside and source else ""
    yield f"  {fact.name:{_NAMES - 2}}{first:{room}}{right}".rstrip()
    for number, line in enumerate(more, 1):
        yield " " * _NAMES + (_dim(line) if not beside and number == len(more) else line)


def _dim(text: str) -> str:
    return click.style(text, dim=True)
