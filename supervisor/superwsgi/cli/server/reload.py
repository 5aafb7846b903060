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
@click.option("-w", "--wait", is_flag=True, help="Follow the roll-out until it has succeeded or failed.")
def reload(which: Which, wait: bool) -> None:
    """Read the site file again and load the application anew, beside what serves; then workers move over one
    by one. If anything about it is broken, what served before goes on serving. Which site: the one
    called NAME, or the only one that runs here.

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
        fail("the master is gone before the reload has ended", FAILED)
