"""A command that answers options of other servers, and keys of the site file, with its own."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import click

from superwsgi.cli.site.options import OPTION_OF
from superwsgi.config.given.other_options import Ours, ours


class HabitCommand(click.Command):
    """A click command with the options of a site."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        typed = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            meant = ours(error.option_name)
            if meant is None:
                raise
            hint = meant.words or _as_ours(meant, _value(error.option_name, typed))
            raise click.UsageError(f"There is no {error.option_name} here: {hint}", ctx) from None


def _as_ours(meant: Ours, typed: str) -> str:
    value = meant.value or typed
    option = OPTION_OF.get(meant.key)
    if option is not None and not meant.value:
        return f"write {option} {shlex.quote(value) if value else 'VALUE'}"
    setting = f"{meant.key}={value or 'VALUE'}"
    return f"write --set {shlex.quote(setting)}"


def _value(option: str, typed: Sequence[str]) -> str:
    """What was given to an option; empty where nothing was."""
    for at, word in enumerate(typed):
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
        if word == option and at + 1 < len(typed):
            following = typed[at + 1]
            return following if following == "-" or not following.startswith("-") else ""
    return ""
