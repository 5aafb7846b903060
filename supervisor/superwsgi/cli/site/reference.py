"""`superwsgi reference`: every key of a site file, with its default."""

from __future__ import annotations

import click

from superwsgi.config.shown.reference import reference as text


@click.command(short_help="Print a site file with every key and its default.")
def reference() -> None:
    """Print a site file with every key, its default and what it means. It is one that can be used: only `app`
    has to be changed."""
    click.echo(text(), nl=False)
