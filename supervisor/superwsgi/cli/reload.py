"""`superwsgi reload`: as HUP, and to know how it went."""

from __future__ import annotations

import click

from superwsgi.cli.follow import follow
from superwsgi.cli.reach import NOT_RUNNING, Conversation, NotReached, fail, find, only_one, which_site
from superwsgi.control import Reload
from superwsgi.master.serve import FAILED


@click.command(short_help="Load new configuration and code, without losing a request.")
@which_site
@click.option("-w", "--wait", is_flag=True, help="Follow the roll-out until it has succeeded or failed.")
def reload(site_file: str | None, socket_path: str | None, wait: bool) -> None:
    """Read the site file again and load the application anew, beside what serves; then workers move over one
    by one. If anything about it is broken, what served before goes on serving.

    \b
    Exit codes:
      0  the new generation serves (without --wait: it is being loaded)
      1  it failed or was rolled back; the reason is on stderr
      2  usage or configuration       3  no master answers
    """
    path = only_one(find(site_file, socket_path))
    try:
        with Conversation(path) as master:
            follow("reload", master.ask(Reload(follow=wait)), wait=wait)
    except NotReached as error:
        fail(str(error), NOT_RUNNING)
    if wait:
        fail("the master is gone before the reload has ended", FAILED)
