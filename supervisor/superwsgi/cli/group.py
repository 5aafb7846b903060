"""The group of all commands: a word that is none of them may be what is to be served, or what another tool
calls one.

    superwsgi site.yaml          serves it, as `superwsgi run site.yaml`
    superwsgi app:app -w 4       as `superwsgi run app:app -w 4`
    superwsgi restart shop       says that it is `superwsgi reload shop`
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from superwsgi.cli import imports, interrupts
from superwsgi.cli.words import INSTEAD, STARTING, WORDS

_RUN: Final = "run"
_FILE: Final = ("-c", "--config")
_TARGET: Final = re.compile(r".*[:/.(#].*", re.DOTALL)
"""`app:app`, `app.py`, `shop.wsgi`, `.`, `src/shop`: no command has such characters."""


class CommandGroup(click.Group):
    """A click group that serves a TARGET, and knows other tools' words. `modules` has the module of each
    command, whose attribute of that name it is.
    """

    def __init__(self, *arguments: Any, modules: Mapping[str, str], **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.modules:
            return None
        with interrupts.quiet(), imports.uncollected():
            command: click.Command = getattr(import_module(self.modules[cmd_name]), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if self.get_command(ctx, word) is not None or word.startswith("-"):
            return super().resolve_command(ctx, args)
        if _TARGET.fullmatch(word):
            return super().resolve_command(ctx, [_RUN, *args])
        raise click.UsageError(f"There is no command {word!r}{self._instead(word, args[1:])}", ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if not self._is_of_run(ctx, error.option_name):
                raise
            hint = f"superwsgi run TARGET {error.option_name} …"
            raise click.UsageError(f"{error.option_name} goes behind a command: {hint}", ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            if ctx.invoked_subcommand != "serve" or not self._is_of_run(ctx, error.option_name):
                raise
            hint = f"superwsgi run site.yaml {error.option_name} …"
            raise click.UsageError(f"options go beside a site file like this: {hint}", ctx) from None
        except click.BadOptionUsage as error:
            if error.option_name not in _FILE:
                raise
            hint = f"superwsgi {ctx.invoked_subcommand} {error.option_name} site.yaml"
            raise click.UsageError(f"{error.message} As in: {hint}", ctx) from None

    def _is_of_run(self, ctx: click.Context, option: str) -> bool:
        command = self.get_command(ctx, _RUN)
        parameters = command.params if command is not None else []
        return any(option in (*each.opts, *each.secondary_opts) for each in parameters)

    def _instead(self, word: str, rest: list[str]) -> str:
        """What may be meant by a word."""
        lower = word.lower()
        if lower in STARTING:
            return _start(rest)
        if lower in WORDS:
            return f": {WORDS[lower]}"
        if lower not in INSTEAD and _is_code(word):
            return _meant([_RUN, word, *rest])
        near = INSTEAD.get(lower) or next(iter(get_close_matches(lower, list(self.modules), n=1)), None)
        if near is None:
            return "; superwsgi --help names them all"
        return _meant([*rest, near] if near.startswith("-") else [*near.split(), *rest])


def _start(rest: list[str]) -> str:
    """A site that does not run has no name that we would know."""
    names = [each for each in rest if not each.startswith("-")]
    if "-c" in rest:
        return _meant(["serve", *rest])
    if not names or _TARGET.fullmatch(names[0]) or _is_code(names[0]):
        return _meant([_RUN, *rest])
    then = f"where systemd keeps it: systemctl start superwsgi-{names[0]}"
    return f": name what it serves, as in superwsgi run app:app or superwsgi -c site.yaml; {then}"


def _is_code(word: str) -> bool:
    return Path(word).is_dir() or Path(f"{word}.py").is_file()


def _meant(words: list[str]) -> str:
    return f"; did you mean: {shlex.join(['superwsgi', *words])}"
