"""Showing something again and again, until Ctrl-C: on a terminal in its place, else one after another."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Final, NoReturn

import click

_HOME: Final = "\033[H"
_CLEAR_LINE: Final = "\033[K"
_CLEAR_BELOW: Final = "\033[J"


class Watchable(click.Command):
    """A command with `--watch`, behind which a number of seconds may stand; another word is the site's
    name."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(context, [*_with_seconds(args)])


def _with_seconds(args: Sequence[str]) -> Iterator[str]:
    for each, following in zip_longest(args, args[1:], fillvalue=""):
        yield "--watch=1" if each == "--watch" and not following.isdecimal() else each


def width() -> int | None:
    """Of the terminal, in characters; None if stdout is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def watch(frames: Iterator[str], seconds: int) -> NoReturn:
    """Show one after another, each some lines with their ends, every so many seconds."""
    redraws = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    try:
        for text in frames:
            click.echo(_in_place(text) if redraws else text, nl=False)
            sys.stdout.flush()
            time.sleep(seconds)
    except KeyboardInterrupt:
        pass
    sys.exit(0)


def _in_place(text: str) -> str:
    """Over what was there before; what does not fit is left out, as it would make the terminal scroll."""
    columns, rows = shutil.get_terminal_size()
    lines = text.splitlines()
    if len(lines) >= rows:
        lines[max(rows - 2, 0) :] = [f"… {len(lines) - rows + 2} more lines"]
    return "".join([_HOME, *(f"{line[:columns]}{_CLEAR_LINE}\n" for line in lines), _CLEAR_BELOW])
