"""How far something is, while a command waits for it: on a terminal one line that changes."""

from __future__ import annotations

import shutil
import sys

import click


class Line:
    """On stdout, or on stderr if what goes to stdout may be a file."""

    def __init__(self, *, err: bool = False) -> None:
        self._err = err
        self._changes = (sys.stderr if err else sys.stdout).isatty()
        self._open = False

    def expect(self, what: str) -> None:
        """Tell it to a terminal; elsewhere it is not worth a line."""
        if self._changes:
            self.show(what)

    def show(self, text: str) -> None:
        """Tell it; where it is no terminal, in a line for each step."""
        if not self._changes:
            click.echo(text, err=self._err)
            return
        room = shutil.get_terminal_size().columns - 1
        shown = text if len(text) <= room else f"{text[: room - 1]}…"
        click.echo(f"\r\033[K{shown}", nl=False, err=self._err)
        self._open = True

    def end(self) -> None:
        """What is told stays, and others may write."""
        if self._open:
            click.echo(err=self._err)
            self._open = False

    def clear(self) -> None:
        """What was told is of no use any more."""
        if self._open:
            click.echo("\r\033[K", nl=False, err=self._err)
            self._open = False
