"""`superwsgi upgrade`: as USR2, and to know how it went."""

from __future__ import annotations

import click

from superwsgi.cli.acting.follow import follow
from superwsgi.cli.server.line import Line
from superwsgi.cli.server.reach import Conversation, NotReached, fail
from superwsgi.cli.server.which import Which, find_one, which_site
from superwsgi.control import FAILED, UpgradeRequest, WatchRequest


@click.command(short_help="Replace superwsgi and Python themselves, without losing a request.")
@which_site
@click.option(
    "-w", "--wait", is_flag=True, help="Wait until workers of the new program serve, and show its progress."
)
def upgrade(which: Which, wait: bool) -> None:
    """Replace a running superwsgi, or its Python, with the version that is installed now, in the same
    process; then replace its workers as a reload does. Sockets, process id and pid file stay. A program that
    cannot start, or cannot read the site file, is refused, and the old one goes on. USR2 to the master does
    the same. NAME is the name of the site, and is not needed where only one runs.

    \b
    Exit codes:
      0  workers of the new program serve (without --wait: it is being tried)
      1  it was refused, or its workers failed; the reason is on stderr
      2  usage or configuration, or no master answers
    """
    path, line = find_one(which), Line()
    try:
        with Conversation(path) as master:
            follow("upgrade", master.ask(UpgradeRequest(follow=wait)), line, wait=wait)
        if wait:
            with Conversation(path) as successor:
                follow("upgrade", successor.ask(WatchRequest()), line, wait=True)
    except NotReached as error:
        fail(str(error), error.code)
    if wait:
        fail("the master ended before the upgrade did", FAILED)
