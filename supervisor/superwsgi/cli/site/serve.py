"""`superwsgi serve -c site.yaml`, and what every command that reads a site file needs."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from superwsgi.cli import imports
from superwsgi.config.errors import ConfigError
from superwsgi.config.links import as_spelled
from superwsgi.config.loading import load
from superwsgi.config.schema import Site
from superwsgi.control import CONFIGURATION
from superwsgi.project.finding import SITE_FILES


def read_or_exit(path: str) -> Site:
    """The site in a file; on errors all of them on stderr, and the exit code for that."""
    try:
        return load(path, os.environ)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(CONFIGURATION)


def site_file_here() -> str | None:
    """That of the working folder."""
    return next(filter(os.path.isfile, SITE_FILES), None)


def with_site_file(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command a site file, by -c or as its argument; it is called with its `path`. Without one it is
    that of the folder, if there is one."""

    @functools.wraps(command)
    def named(option: str | None, argument: str | None, **rest: Any) -> Any:
        if option is not None and argument is not None:
            raise click.UsageError("give only one of FILE and -c FILE")
        path = option or argument or site_file_here()
        if path is None:
            this = click.get_current_context().command_path
            raise click.UsageError(f"name the site file, as in: {this} -c site.yaml")
        return command(path=path, **rest)

    named = click.option("-c", "--config", "option", metavar="FILE", help="The site file.  [site.yaml]")(
        named
    )
    return click.argument("argument", required=False, metavar="[FILE]")(named)


@click.command()
@with_site_file
def serve(path: str) -> None:
    """Serve the site that a file describes, in the foreground.

    \b
    Exit codes:
      0  stopped as asked          3  the application did not load
      2  usage or configuration    4  an address could not be bound
      1  anything else
    """
    with imports.uncollected():
        from superwsgi.master.processes import launch  # for no command that only asks a master
        from superwsgi.master.serve import serve as serve_site

    try:
        path = as_spelled(path)  # for HUP, whatever the working folder is by then
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(CONFIGURATION)
    sys.exit(serve_site(partial(load, path, os.environ), launch.execute, path))
