"""`superwsgi status`: what a site does now."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from superwsgi.cli.reach import NOT_RUNNING, Conversation, NotReached, find, which_site
from superwsgi.control import Snapshot, Status, WorkerStatus, encode
from superwsgi.log.words import duration, size

_COLUMNS = (
    "worker", "pid", "gen", "state", "age", "requests", "in flight", "connections", "memory", "last death",
)  # fmt: skip


@click.command(short_help="Show what a site does now.")
@which_site
@click.option("--json", "as_json", is_flag=True, help="One line of JSON a site.")
def status(site_file: str | None, socket_path: str | None, as_json: bool) -> None:
    """Show what a site does now: its generation, its workers, and why they died. Without an option, all sites
    whose control sockets are where superwsgi puts them.

    \b
    Exit codes:
      0  all of them serve            2  usage or configuration
      1  one does not serve           3  no master answers
    """
    paths = find(site_file, socket_path)
    if not paths:
        click.echo("no site runs here that this user can see", err=True)
    found = [snapshot for path in paths if (snapshot := _ask(path)) is not None]
    for number, snapshot in enumerate(found):
        if as_json:
            click.echo(encode(snapshot), nl=False)
        else:
            click.echo("\n" * (number > 0) + spell(snapshot), nl=False)
    if len(found) < max(len(paths), 1):
        sys.exit(NOT_RUNNING)
    sys.exit(0 if all(any(w.state == "serving" for w in snapshot.workers) for snapshot in found) else 1)


def _ask(path: Path) -> Snapshot | None:
    try:
        with Conversation(path) as master:
            return next((each for each in master.ask(Status()) if isinstance(each, Snapshot)), None)
    except NotReached as error:
        click.echo(f"superwsgi: {error}", err=True)
        return None


def spell(snapshot: Snapshot) -> str:
    """The site in two or three lines, and its workers as a table."""
    return "\n".join([*_head(snapshot), "", *_table(snapshot.workers), ""])


def _head(snapshot: Snapshot) -> Iterator[str]:
    serving = sum(worker.state == "serving" for worker in snapshot.workers)
    generation = f", generation {snapshot.generation}" if snapshot.generation is not None else ""
    on_its_way = f" (generation {snapshot.candidate} on its way)" if snapshot.candidate is not None else ""
    yield (
        f"{snapshot.site}: {snapshot.phase}{generation}{on_its_way}, {serving} of {snapshot.wanted} workers, "
        f"up {duration(snapshot.uptime)}, pid {snapshot.pid}, superwsgi {snapshot.program}"
    )
    yield " ".join(snapshot.addresses)
    if snapshot.trouble:
        yield f"last reload failed: {snapshot.trouble}"


def _table(workers: list[WorkerStatus]) -> Iterator[str]:
    rows = [_COLUMNS, *map(_row, workers)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
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
        str(worker.in_flight) if here else "-",
        str(worker.connections) if here else "-",
        "-" if worker.rss is None else size(worker.rss),
        "-" if death is None else f"{duration(death.ago)} ago: {death.how}",
    )
