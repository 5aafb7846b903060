"""`superwsgi status`: what a site does now."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence

import click

from superwsgi.cli.server.reach import NOT_RUNNING, fail
from superwsgi.cli.server.which import FoundSite, Which, find, nothing_runs, which_site
from superwsgi.control import Snapshot, ThreadsStatus, WorkerStatus, encode
from superwsgi.log.spelling import duration, printable, size
from superwsgi.master.serve import FAILED

_COLUMNS = (
    "worker", "pid", "gen", "state", "age", "requests", "threads", "queued", "connections", "memory",
    "last death",
)  # fmt: skip
_SELDOM = ("queued", "last death")
"""Columns that are shown only where there is something in them: then a table fits 80 characters."""


@click.command(short_help="Show what a site does now.")
@which_site
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per site.")
def status(which: Which, as_json: bool) -> None:
    """Show what a site does now: its generation, its workers, and why they died. NAME is the name of the
    site; without one, all sites are shown whose control sockets are in the usual places.

    \b
    Unless the key `control` says otherwise, a control socket is the first of these that can be made:
      $RUNTIME_DIRECTORY/control.sock           as systemd sets it
      /run/superwsgi/NAME.sock                  for root
      $XDG_RUNTIME_DIR/superwsgi/NAME.sock      for other users
      /tmp/superwsgi-UID/NAME.sock              without a session
    A second site of the same name has NAME-2.sock. Root reaches the sites of other users with --control.

    \b
    Exit codes:
      0  all of them serve
      1  one does not serve
      2  usage or configuration, or no master answers
    """
    found = find(which)
    if not found:
        fail(nothing_runs(), NOT_RUNNING)
    for each in found:
        if each.problem is not None:
            click.echo(f"superwsgi: {each.problem}", err=True)
    snapshots = [each.served for each in found if each.served is not None]
    click.echo(b"".join(map(encode, snapshots)) if as_json else "\n".join(_spelled(found)), nl=False)
    sys.exit(next((each.problem.code for each in found if each.problem is not None), _health(snapshots)))


def _health(snapshots: Iterable[Snapshot]) -> int:
    serving = (any(worker.state == "serving" for worker in snapshot.workers) for snapshot in snapshots)
    return 0 if all(serving) else FAILED


def _spelled(found: Sequence[FoundSite]) -> Iterator[str]:
    """Where several have one name, with what else tells them apart."""
    names = [each.served.site for each in found if each.served is not None]
    for each in found:
        if each.served is not None:
            alike = names.count(each.served.site) > 1
            yield spell(each.served, f"{each.served.file or 'no site file'}, {each.path}" if alike else "")


def spell(snapshot: Snapshot, where: str = "") -> str:
    """The site in a few lines, `where` its file and socket are among them, and its workers as a table."""
    return "\n".join([*_head(snapshot), *filter(None, [where]), "", *_table(snapshot.workers), ""])


def _head(snapshot: Snapshot) -> Iterator[str]:
    serving = sum(worker.state == "serving" for worker in snapshot.workers)
    generation = f", generation {snapshot.generation}" if snapshot.generation is not None else ""
    on_its_way = f" (generation {snapshot.candidate} on its way)" if snapshot.candidate is not None else ""
    yield (
        f"{snapshot.site}: {snapshot.phase}{generation}{on_its_way}, {serving} of {snapshot.wanted} workers, "
        f"up {duration(snapshot.uptime)}, pid {snapshot.pid}, superwsgi {snapshot.program}"
    )
    yield " ".join(snapshot.addresses)
    if snapshot.checks:
        yield f"health checks: {' '.join(snapshot.checks)}"
    yield from _threads(snapshot.threads)
    if snapshot.trouble:
        yield f"last reload failed: {printable(snapshot.trouble)}"


def _threads(threads: ThreadsStatus) -> Iterator[str]:
    """`threads: 3 of 4 busy, up to 32`; nothing while no worker serves, and of an older master."""
    if threads.most:
        more = f", up to {threads.most}" if threads.most > threads.total else ""
        queued = f", queued: {_queued(threads)}" if threads.queued else ""
        yield f"threads: {threads.busy} of {threads.total} busy{more}{queued}"


def _busy(threads: ThreadsStatus) -> str:
    """`3/4 of 32`; `3/4` if there are not more than these four."""
    more = f" of {threads.most}" if threads.most > threads.total else ""
    return f"{threads.busy}/{threads.total}{more}" if threads.most else "-"


def _queued(threads: ThreadsStatus) -> str:
    if not threads.queued:
        return "-"
    return (
        str(threads.queued) if threads.oldest is None else f"{threads.queued} for {duration(threads.oldest)}"
    )


def _table(workers: list[WorkerStatus]) -> Iterator[str]:
    rows = [_COLUMNS, *map(_row, workers)]
    columns = [
        column for column in zip(*rows, strict=True) if column[0] not in _SELDOM or {*column[1:]} - {"-"}
    ]
    widths = [max(map(len, column)) for column in columns]
    for row in zip(*columns, strict=True):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(worker: WorkerStatus) -> tuple[str, ...]:
    death = worker.last_death
    here = worker.pid is not None
    return (
        str(worker.number),
        str(worker.pid) if here else "-",
        str(worker.generation),
        f"{worker.state}, to be recycled" if worker.recycle and worker.state == "serving" else worker.state,
        "-" if worker.age is None else duration(worker.age),
        str(worker.requests) if here else "-",
        _busy(worker.threads),
        _queued(worker.threads),
        str(worker.connections) if here else "-",
        "-" if worker.rss is None else size(worker.rss),
        "-" if death is None else f"{duration(death.ago)} ago: {printable(death.how)}",
    )
