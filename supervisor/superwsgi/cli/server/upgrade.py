"""`superwsgi upgrade`: as USR2, and to know how it went."""

from __future__ import annotations

import click

from superwsgi.cli.server.follow import follow
from superwsgi.cli.server.reach import Conversation, NotReached, fail
from superwsgi.cli.server.which import Which, find_one, which_site
from superwsgi.control import UpgradeRequest, WatchRequest
from superwsgi.master.serve import FAILED


@click.command(short_help="Replace superwsgi and Python themselves, without losing a request.")
@which_site
@click.option("-w", "--wait", is_flag=True, help="Follow it until workers of the new program serve.")
def upgrade(which: Which, wait: bool) -> None:
    """Have the master execute its program anew, in the same process, after superwsgi or Python were installed
    anew; then workers move over as in a reload. A program that cannot start is refused, and what serves
    goes on. Which site: the one called NAME, or the only one that runs here.

    \b
    Exit codes:
      0  workers of the new program serve (without --wait: it is being tried)
      1  it was refused, or its workers failed; the reason is on stderr
      2  usage or configuration, or no master answers
    """
    path = find_one(which)
    try:
        with Conversation(path) as master:
            follow("upgrade", master.ask(UpgradeRequest(follow=wait)), wait=wait)
        if wait:
            with Conversation(path) as successor:
                follow("upgrade", successor.ask(WatchRequest()), wait=True)
    except NotReached as error:
        fail(str(error), error.code)
    if wait:
        fail("the master is gone before the upgrade has ended", FAILED)
