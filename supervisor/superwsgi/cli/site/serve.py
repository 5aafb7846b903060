"""`superwsgi serve -c site.yaml`, and what every command that reads a site file needs."""

from __future__ import annotations

import os
import sys
from functools import partial

import click

from superwsgi.config.errors import ConfigError
from superwsgi.config.links import as_spelled
from superwsgi.config.loading import load
from superwsgi.config.schema import Site
from superwsgi.master.processes import launch
from superwsgi.master.serve import CONFIGURATION
from superwsgi.master.serve import serve as serve_site


def read_or_exit(path: str) -> Site:
    """The site in a file; on errors all of them on stderr, and the exit code for that."""
    try:
        return load(path, os.environ)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(CONFIGURATION)


@click.command()
@click.option("-c", "--config", "path", metavar="FILE", required=True, help="The site file.")
def serve(path: str) -> None:
    """Serve the site that a file describes, in the foreground.

    \b
    Exit codes:
      0  stopped as asked          3  the application did not load
      2  usage or configuration    4  an address could not be bound
      1  anything else
    """
    try:
        path = as_spelled(path)  # for HUP, whatever the working folder is by then
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(CONFIGURATION)
    sys.exit(serve_site(partial(load, path, os.environ), launch.execute, path))
