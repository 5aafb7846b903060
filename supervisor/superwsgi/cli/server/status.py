"""`superwsgi status`: what a site does now."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

import click

from superwsgi.cli.server.reach import NOT_RUNNING, fail
from superwsgi.cli.server.screen import serving, spell, spell_running
from superwsgi.cli.server.watch import Watchable, watch, width
from superwsgi.cli.server.which import FoundSite, Which, find, find_again, nothing_runs, which_site
from superwsgi.control import Snapshot, StatusRequest, encode
from superwsgi.log.spelling import spell_time
from superwsgi.master.serve import FAILED


@click.command(cls=Watchable, short_help="Show what a site does now, and whether it is healthy.")
@which_site
@click.option("--requests", is_flag=True, help="Show the requests that run now, the longest first.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per site.")
@click.option(
    "--watch",
    "seconds",
    type=click.IntRange(1, 3600),
    metavar="[SECONDS]",
    help="Show it again every second, or as often as said, until Ctrl-C.",
)
def status(which: Which, requests: bool, as_json: bool, seconds: int | None) -> None:
    """Show what a site does now: whether it is healthy and, if not, why; what it has answered lately and how
    long that took; its workers, and how they ended. NAME is the name of the site; without one, all sites are
    shown whose control sockets are in the usual places.

    \b
    Unless the key `control` says otherwise, a control socket is the first of these that can be made:
      $RUNTIME_DIRECTORY/control.sock           as systemd sets it
      /run/superwsgi/NAME.sock                  for root
      $XDG_RUNTIME_DIR/superwsgi/NAME.sock      for other users
      /tmp/superwsgi-UID/NAME.sock              without a session
    A second site of the same name has NAME-2.sock. Root reaches the sites of other users with --control.

    \b
    Exit codes:
      0  all of them are healthy
      1  one is degraded or down
      2  usage or configuration, or no master answers
    What is in --json stands in the README, "Status and stop".
    """
    request = StatusRequest(requests=requests)
    found = find(which, request)
    if seconds is not None:
        watch(_frames(which, request, found, as_json=as_json), seconds)
    if not found:
        fail(nothing_runs(), NOT_RUNNING)
    for each in found:
        if each.problem is not None:
            click.echo(_problem(each), err=True)
    click.echo(_shown(found, request, as_json=as_json), nl=False)
    sys.exit(_exit_code(found))


def _frames(
    which: Which, request: StatusRequest, found: Sequence[FoundSite], *, as_json: bool
) -> Iterator[str]:
    """What --watch shows, time after time."""
    while True:
        problems = [_problem(each) for each in found if each.problem is not None]
        if not found:
            problems = [f"superwsgi: {nothing_runs()}"]
        shown = _shown(found, request, as_json=as_json)
        if as_json:
            click.echo("".join(f"{problem}\n" for problem in problems), err=True, nl=False)
            yield shown
        else:
            yield "\n".join([spell_time(time.time()), *problems, shown]) + "\n"
        found = find_again(which, found, request)


def _shown(found: Sequence[FoundSite], request: StatusRequest, *, as_json: bool) -> str:
    if as_json:
        return b"".join(encode(each.served) for each in found if each.served is not None).decode()
    if request.requests:
        return "\n".join(spell_running(each.served, width()) for each in found if each.served is not None)
    return "\n".join(_spelled(found))


def _spelled(found: Sequence[FoundSite]) -> Iterator[str]:
    """Where several have one name, with what else tells them apart."""
    names = [each.served.site for each in found if each.served is not None]
    for each in found:
        if each.served is not None:
            alike = names.count(each.served.site) > 1
            where = f"{each.served.file or 'no site file'}, {each.path}" if alike else ""
            yield spell(each.served, where, width())


def _problem(site: FoundSite) -> str:
    return f"superwsgi: {site.problem}"


def _exit_code(found: Sequence[FoundSite]) -> int:
    unreached = (each.problem.code for each in found if each.problem is not None)
    snapshots = [each.served for each in found if each.served is not None]
    return next(unreached, 0 if all(map(_is_healthy, snapshots)) else FAILED)


def _is_healthy(snapshot: Snapshot) -> bool:
    """An older master does not say."""
    return snapshot.health == "healthy" if snapshot.health else serving(snapshot) > 0
