"""`superwsgi logs`: as USR1, and to know how it went."""

from __future__ import annotations

import click

from superwsgi.cli.acting.follow import act
from superwsgi.cli.server.which import Which, which_site
from superwsgi.control import LogsRequest


@click.command(short_help="Reopen the log files, after they were moved.")
@which_site
@click.option("-w", "--wait", is_flag=True, help="Wait until they are open.")
def logs(which: Which, wait: bool) -> None:
    """Open the log files again: after logrotate has moved them, lines go to new files of the old names. NAME
    is the name of the site, and is not needed where only one runs.

    \b
    Exit codes:
      0  they are open (without --wait: asked for)
      1  one cannot be opened; the reason is on stderr, and the old files stay in use
      2  usage or configuration, or no master answers
    """
    act("reopening of the logs", which, LogsRequest(follow=wait), wait=wait)
