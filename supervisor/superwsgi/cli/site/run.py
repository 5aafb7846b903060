"""`superwsgi run [TARGET]`: serve the application that is there, without a site file or with one."""

from __future__ import annotations

import sys
from functools import partial

import click

from superwsgi.cli import imports
from superwsgi.cli.site.dev import develop
from superwsgi.cli.site.habits import HabitCommand
from superwsgi.cli.site.options import SiteOptions, find_site, is_news, site_from, site_options
from superwsgi.config.errors import ConfigError
from superwsgi.control import CONFIGURATION
from superwsgi.log.spelling import printable
from superwsgi.project.found import Found


@click.command(cls=HabitCommand, short_help="Serve an application without a site file.")
@click.argument("target", required=False)
@click.option("--reload", is_flag=True, help="Develop: as `superwsgi dev`, which has more of it.")
@site_options
def run(target: str | None, reload: bool, options: SiteOptions) -> None:
    """Serve an application without a site file.

    \b
    TARGET is one of these; without one, the folder is searched:
      shop.wsgi:application   a module and what it defines
      "shop:create_app()"     a factory, perhaps with literals as arguments
      shop.wsgi               a module
      deploy/shop.wsgi        a file
      production.ini          a Paste file
      site.yaml               a site file, which the options add to
      .                       a folder

    In a folder these are looked for, in this order: [tool.superwsgi] in pyproject.toml, FLASK_APP, manage.py,
    app.py, wsgi.py, application.py, packages, src/, Paste files, other files that make an application. Their
    code is not run. Where several are as good as each other, they are named, and nothing is started.

    [tool.superwsgi] takes the keys of a site file. What options say goes before that, and before the site
    file; the variables WEB_CONCURRENCY, PORT and SCRIPT_NAME count where neither says anything.
    """
    try:
        found = find_site(target, options, "dev" if reload else "run")
        code = develop(found, options) if reload else _serve(target, found, options)
    except ConfigError as error:
        click.echo(str(error), err=True)
        code = CONFIGURATION
    sys.exit(code)


def _serve(target: str | None, found: Found, options: SiteOptions) -> int:
    """Say in a line how it was found, where that is news, and serve it."""
    with imports.uncollected():
        from superwsgi.master.processes import launch  # for no command that only asks a master
        from superwsgi.master.serve import serve

    if is_news(target, found):
        click.echo(f"superwsgi: {printable(found.why)}", err=True)
    return serve(partial(site_from, found, options), launch.execute, found.site_file)
