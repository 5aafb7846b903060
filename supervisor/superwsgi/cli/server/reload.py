"""`superwsgi reload`: as HUP, and to know how it went."""

from __future__ import annotations

import click

from superwsgi.cli.server.follow import follow
from superwsgi.cli.server.reach import Conversation, NotReached, fail
from superwsgi.cli.server.which import Which, find_one, which_site
from superwsgi.control import ReloadRequest
from superwsgi.master.serve import FAILED


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
    is the name of the site, and is not needed where only one runs.

    \b
    Exit codes:
      0  the new generation serves (without --wait: it is being loaded)
      1  it failed or was rolled back; the reason is on stderr
      2  usage or configuration, or no master answers
    """
    path = find_one(which)
    try:
        with Conversation(path) as master:
            follow("reload", master.ask(ReloadRequest(follow=wait)), wait=wait)
    except NotReached as error:
        fail(str(error), error.code)
    if wait:
        fail("the master ended before the reload did", FAILED)
