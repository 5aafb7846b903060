"""`superwsgi reload`: as HUP, and to know how it went."""

from __future__ import annotations

import click

from superwsgi.cli.acting.follow import act
from superwsgi.cli.server.which import Which, which_site
from superwsgi.control import ReloadRequest


@click.command(short_help="Load new configuration and code, without losing a request.")
@which_site
@click.option(
    "-w",
    "--wait",
    is_flag=True,
    help="Wait until the roll-out has succeeded or failed, and show its progress.",
)
def reload(which: Which, wait: bool) -> None:
    """Read the site file and load the application again, beside the generation that serves; then replace its
    workers one by one. If anything about the new generation is broken, the old one goes on serving. NAME
    is the name of the site, and is not needed where only one runs. HUP to the master does the same.

    With --wait it ends once the new generation is kept for good, some ten seconds later (`rollout.confirm`):
    for deploy scripts, which then fail if the reload does. `superwsgi reference rollout` says what makes one
    fail. Where a release brings another superwsgi or Python, use `superwsgi upgrade` instead.

    \b
    Exit codes:
      0  the new generation serves (without --wait: it is being loaded)
      1  it failed or was rolled back; the reason is on stderr
      2  usage or configuration, or no master answers
    """
    act("reload", which, ReloadRequest(follow=wait), wait=wait)
