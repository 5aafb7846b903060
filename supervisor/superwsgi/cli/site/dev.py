"""`superwsgi dev [TARGET]`: serve a project while it is being written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

import click

from superwsgi.cli.site.habits import HabitCommand
from superwsgi.cli.site.options import SiteOptions, find_site, site_from, site_options
from superwsgi.config.errors import ConfigError
from superwsgi.control import CONFIGURATION, NOT_BOUND
from superwsgi.project.found import Found

_HERE: Final = "127.0.0.1"
"""$PORT is a port of this address: others are not to reach a debugger."""


@click.command(cls=HabitCommand, short_help="Serve a project while you write it.")
@click.argument("target", required=False)
@click.option(
    "--watch",
    multiple=True,
    metavar="PATH|GLOB",
    help="Reload for this, too: a file, a folder or a glob such as 'templates/**/*.html'; repeatable.",
)
@site_options
def dev(target: str | None, watch: Sequence[str], options: SiteOptions) -> None:
    """Serve a project while you write it.

    TARGET is as for `superwsgi run`; without one the folder is searched. When a Python file of the project
    changes, the new code takes over. While it is broken the old code goes on, and the traceback is here and
    in the browser. There is one worker, at 127.0.0.1 unless --bind says otherwise, and the application is not
    preloaded, whatever options say. A site file says what the application is, but not how it is run: the
    summary at the start names both. For production there is `superwsgi run`.

    Exceptions are shown here and, with werkzeug installed, in its debugger in the browser, whose pin is here;
    it is off where other machines can connect. FLASK_DEBUG=1 is set unless you set it. Django's static files
    and templates are as with `manage.py runserver`. `breakpoint()` finds this terminal.
    """
    try:
        code = develop(find_site(target, options, "dev"), options, watch)
    except ConfigError as error:
        click.echo(str(error), err=True)
        code = CONFIGURATION
    sys.exit(code)


def _as_here(option: click.Option) -> None:
    """Its help: without those that have no effect, which are taken from whoever is used to them, and told."""
    option.hidden = option.name in ("workers", "preload")
    if option.help is not None:
        option.help = option.help.replace("$PORT of all addresses", f"$PORT of {_HERE}")


for _parameter in dev.params:
    if isinstance(_parameter, click.Option):
        _as_here(_parameter)


def develop(found: Found, options: SiteOptions, watch: Sequence[str] = ()) -> int:
    """Serve what was found, and what becomes of it, until told to end; `watch` are more files, folders and
    globs. Returns the exit code. Raises ConfigError."""
    from superwsgi.development.developing import run  # for no other command
    from superwsgi.development.ports import AddressTaken
    from superwsgi.development.project import Project

    said = {key.partition(".")[0] for key in [*options.said.options, *dict(options.said.settings)]}
    read = partial(site_from, found, options, port_host=_HERE)
    try:
        return run(Project.of(found, read, said, options.folder, watch))
    except AddressTaken as error:
        click.echo(f"superwsgi: {error}", err=True)
        return NOT_BOUND
