"""`superwsgi check`: find what would keep a site from starting, without starting it."""

from __future__ import annotations

import click

from superwsgi.cli.site.habits import HabitCommand
from superwsgi.cli.site.options import SiteOptions, site_options


@click.command(cls=HabitCommand, short_help="Find out whether a site would start, without starting it.")
@click.argument("target", required=False)
@click.option("-c", "--config", "path", metavar="FILE", help="The site file.  [site.yaml]")
@click.option("--explain", is_flag=True, help="Say what would run, and where each value comes from.")
@click.option("--json", "as_json", is_flag=True, help="Print all of that as one line of JSON.")
@site_options
def check(target: str | None, path: str | None, explain: bool, as_json: bool, options: SiteOptions) -> None:
    """Check a site and all that it names, and load its application in a process of its own, with its hooks
    and warm-up pages, without serving it. Everything that is wrong is told at once. A site that runs is not
    disturbed.

    TARGET is a site file, or what `superwsgi run` would serve, with the same options.

    With --explain: which processes would run as whom, what memory they take, where the site is reached, by
    whom, and who is believed about clients.

    \b
    Exit codes: 0 would start, 2 configuration, 3 the application does not load.
    """
    from superwsgi.cli.site.checks.checking import check as check_site  # for no other command

    check_site(target, path, explain, as_json, options)
