"""`superwsgi stop`: as TERM, and to know when it is over."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Iterator

import click

from superwsgi.cli.acting.follow import follow
from superwsgi.cli.server.line import Line
from superwsgi.cli.server.reach import Conversation, NotReached, fail
from superwsgi.cli.server.which import Which, find_one, which_site
from superwsgi.control import StopRequest
from superwsgi.log.spelling import duration


@click.command(short_help="End a site.")
@which_site
@click.option("--fast", is_flag=True, help="End at once; requests in hand are lost.")
@click.option(
    "-w",
    "--wait",
    is_flag=True,
    help="Wait until the master and all its processes have ended, and show what is left.",
)
def stop(which: Which, fast: bool, wait: bool) -> None:
    """End a site: its workers answer what they have in hand, within timeouts.graceful. NAME is the name of
    the site, and is not needed where only one runs.

    \b
    Exit codes:
      0  it stops (with --wait: it has ended)
      2  usage or configuration, or no master answers
    """
    path, began = find_one(which), time.monotonic()
    try:
        with Conversation(path) as master, _process(master.master) as process:
            follow("stop", master.ask(StopRequest(fast=fast, follow=wait)), Line(), wait=wait)
            if wait and process is not None:
                select.select([process], [], [])
    except NotReached as error:
        fail(str(error), error.code)
    if wait:
        click.echo(f"stopped, after {duration(time.monotonic() - began)}")


@contextlib.contextmanager
def _process(pid: int) -> Iterator[int | None]:
    """A descriptor that becomes readable when the process ends (pidfd_open(2)); None where it cannot be had,
    and the end of the connection has to do."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)
