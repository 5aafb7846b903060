"""`superwsgi run module:app`: serve without a site file."""

from __future__ import annotations

import sys

import click

from superwsgi.config.errors import ConfigError
from superwsgi.config.loading import from_options
from superwsgi.master.processes import launch
from superwsgi.master.serve import CONFIGURATION, serve


@click.command()
@click.argument("app", metavar="MODULE:APP")
@click.option(
    "-b",
    "--bind",
    multiple=True,
    metavar="ADDRESS",
    help="host:port, [IPv6]:port, https://host:port or unix:/path; repeatable.  [127.0.0.1:8000]",
)
@click.option("--certificate", metavar="FILE", help="PEM file of certificate and chain, for --bind https://…")
@click.option("--key", metavar="FILE", help="PEM file of its key, unless that is in the same file.")
@click.option("-w", "--workers", metavar="N", help="Worker processes, or auto: one per usable CPU.  [auto]")
@click.option("-t", "--threads", metavar="N", help="Requests that a worker runs at once.  [4 to 32]")
@click.option("--chdir", default=".", metavar="FOLDER", help="Working folder, also on sys.path.  [.]")
@click.option("--name", metavar="NAME", help="What `superwsgi status` calls it.  [the module or the folder]")
@click.option(
    "--preload/--no-preload",
    default=None,
    help="Import the application once, before the workers are forked.  [unless that would break it]",
)
def run(
    app: str,
    bind: tuple[str, ...],
    certificate: str | None,
    key: str | None,
    workers: str | None,
    threads: str | None,
    chdir: str,
    name: str | None,
    preload: bool | None,
) -> None:
    """Serve an application without a site file.

    MODULE:APP is an import string: shop.wsgi:application, or shop:create_app() for a factory.
    """
    try:
        site = from_options(
            app,
            bind=bind,
            certificate=certificate,
            key=key,
            workers=workers,
            threads=threads,
            chdir=chdir,
            name=name,
            preload=preload,
        )
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(CONFIGURATION)
    sys.exit(serve(lambda: site, launch.execute))
