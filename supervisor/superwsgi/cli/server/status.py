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
from superwsgi.control import FAILED, Snapshot, StatusRequest, encode
from superwsgi.log.spelling import spell_time

_FIELDS = """\b
Fields of --json, one line a site; times are seconds, sizes bytes, and what is not known is null:
  site, file, addresses   its name, its site file, where it listens
  checks                  addresses of health.bind
  pid, program            the master's process id, and its version
  python, compiled        the interpreter's version; whether the request path is compiled
  phase, uptime           starting, running, reloading or stopping
  health, reasons         healthy, degraded or down, and why
  generation, candidate   the one that serves, and the one on its way
  trouble                 why the last reload failed
  wanted, serving         how many workers there should be, and how many serve
  least, most             of `workers: {min, max}`
  pinned, held_back       somebody has asked for a number; why there are no more, though requests wait
  minute, totals          of the last `seconds`, about a minute, and since the start of the master:
    requests, answers       all, and by class, 2xx to 5xx
    refused                 those that the server itself has answered, by status
    shed, quarantined       of these, by limits.queue_age; of these, by quarantine
    not_upgraded            of these, upgrades beyond limits.upgraded
    accepted, turned_away   connections; those closed as nobody knew whose they were
    upgrades                connections that the application had taken over, and that have ended
    sent, unlogged          bytes of bodies; requests that log.skip, log.sample or paths leave out
  minute                  also
    rate                    requests a second
    p50, p99                what half of them, and 99 %, took at most, from arrival to the last byte
    app_p50, app_p99        the same in the application; 60 is 60 or more
  totals                  also, over reloads, upgrades and workers that come and go
    time, app_time          sums of these seconds
    bounds                  for latency and app_latency: how many requests took at most so many
                            seconds, and more than the bound before; the last count has none
    methods                 answers of each method; rare ones, and unreadable requests, are `other`
    restarts                workers that had to be replaced, by cause: crash, killed (by somebody else),
                            out of memory, exit, boot, hang, stopped, broken, stuck thread, memory.hard,
                            memory.soft, memory short, requests.max, requests.age, listener, asked
    reloads, incidents      by outcome; what `superwsgi why` tells of, by event
    cpu                     seconds of all workers
    paths                   with metrics.paths: answers, latency, time, app_time of each `method` and
                            `group` of paths, such as /orders/*; beyond a hundred, `other`
  threads                 `busy` of `total`, and the `most` there may be (of greenlets where `green` is
                          true); `abandoned` after a 504, or
                          `left` by clients of streams; `queued` requests, the first for `oldest`;
                          `gated` more for `gated_for`, by the key `gated_by` of paths
  workers                 each with
    number, generation, state, pid, age
    requests, failures      answers, and those of 5xx
    in_flight, taken, sending   requests in hand: in the application, about to run, being sent
    cpu, cpu_seconds        1.0 is one core; since its start
    rss, pss                memory; pss if it is measured
    memory                  `grows` a second, its `limit`, reached in `limit_in`; `leaks`, the kinds of
                            requests that it grows by without end; `series`, how it has been
    connections, upgraded   all, and those that the application has taken over
    threads                 as above
    recycle                 why it is to be replaced
    last_death              `how`, so many seconds `ago`, number of the `incident`
  companions              each with name (mail, or mail:2), state, pid, generation, age, `rss` of all its
                          processes, `restarts` that nobody had asked for, `why` it does not run, last_end
  suspects                a `kind` of requests in hand in `crashes` `of` so many, at a `share` of other
                          moments; in `quarantine` for so many more seconds
  certificate             of the one that expires first: file, expires (Unix time), days
  admin                   pid and addresses of the admin process
  running                 with --requests: worker, generation, pid, thread, method, target, id, seconds
"""


@click.command(
    cls=Watchable, epilog=_FIELDS, short_help="Show what a site does now, and whether it is healthy."
)
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

    A site is `healthy`, `degraded` for the reasons that are shown, or `down`: no worker serves. Reasons are
    workers that are missing, hang or were stopped; companions that do not stay; requests of the last minute
    answered 503 or 504 by the server, or a tenth of them 5xx by the application; a page in quarantine;
    threads that have all been taken for seconds, or are still in a request after its 504; an expired
    certificate; a lost mold; a failed reload. What clients do wrong is none.

    `1/3 of 4` says that one of a worker's three threads has a request in hand, and that it may have four.
    Where requests wait, or threads were abandoned, there are columns for that. `gated` requests wait for
    others of their rule in `paths`; `upgraded` connections are the application's, such as WebSockets. `total`
    counts since the start of the master, over reloads and upgrades. A certificate is shown in its last 14
    days.

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
