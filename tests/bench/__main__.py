"""`python -m tests.bench`: the command line."""

from __future__ import annotations

import dataclasses
import importlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import click

from tests.bench import report
from tests.bench.bench import FULL, QUICK, Pace
from tests.bench.process import BenchError
from tests.bench.results import Results
from tests.bench.run import run
from tests.bench.scenarios import SCENARIOS
from tests.bench.servers import OURS, PEERS, QUICK_PEERS

OUTPUT = click.Path(dir_okay=False, path_type=Path)
INPUT = click.Path(exists=True, dir_okay=False, path_type=Path)
Names = tuple[str, ...]


def names_of(known: Names) -> Callable[[click.Context, click.Parameter, str], Names]:
    """A callback that reads comma-separated names out of `known`."""

    def read(ctx: click.Context, param: click.Parameter, value: str) -> Names:
        names = tuple(filter(None, value.split(",")))
        if unknown := set(names) - set(known):
            raise click.BadParameter(f"{', '.join(sorted(unknown))}: not one of {', '.join(known)}")
        return names

    return read


@click.command()
@click.option("--quick", is_flag=True, help="One short round, few peers: a minute or two, not twenty.")
@click.option("--only", default="", callback=names_of(tuple(SCENARIOS)), help="These scenarios.")
@click.option("--peers", default="", callback=names_of(PEERS), help="These peers.")
@click.option("--repeat", type=click.IntRange(min=1), help="Rounds, each server once in each.")
@click.option("--plot", type=OUTPUT, help="Write the plot to this PNG file.")
@click.option("--markdown", type=OUTPUT, help="Write the report to this file too.")
@click.option("--json", "raw", type=OUTPUT, help="Write every sample to this file.")
@click.option("--replay", type=INPUT, help="Report this JSON file of an earlier run; measure nothing.")
def main(
    quick: bool,
    only: Names,
    peers: Names,
    repeat: int | None,
    plot: Path | None,
    markdown: Path | None,
    raw: Path | None,
    replay: Path | None,
) -> None:
    """Run this server and its peers on the same work, alternating, and report medians.

    Scenarios: hello, flask, body, sleep, connect, access-log, tls, idle, mold, hazard, reload, slow-head,
    slow-body, slow-read, idle-connections.
    Peers: gunicorn, waitress, granian, bjoern, fastpysgi, uwsgi.
    """
    draw = plotter() if plot else None
    try:
        results = Results.read(replay) if replay else run(pace(quick, repeat), *chosen(quick, only, peers))
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    text = report.text(results)
    click.echo(text)
    if markdown:
        markdown.write_text(text)
    if raw:
        results.save(raw)
    if plot and draw:
        draw(results, plot)


def pace(quick: bool, repeat: int | None) -> Pace:
    usual = QUICK if quick else FULL
    return dataclasses.replace(usual, rounds=repeat or usual.rounds)


def chosen(quick: bool, only: Names, peers: Names) -> tuple[Names, Names]:
    """Scenarios and servers."""
    return only or tuple(SCENARIOS), (OURS, *(peers or (QUICK_PEERS if quick else PEERS)))


def plotter() -> Callable[[Results, Path], None]:
    """What draws the plot, asked for before the long run: matplotlib may be missing."""
    try:
        draw: Callable[[Results, Path], None] = importlib.import_module("tests.bench.plot").draw
    except ImportError as error:
        raise click.ClickException(f"no plot without {error.name}: pip install 'superwsgi[bench]'") from error
    return draw


def _end(signum: int, frame: object) -> NoReturn:
    """SIGTERM unwinds like Ctrl-C, so that every server is stopped."""
    sys.exit(128 + signum)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    main(prog_name="python -m tests.bench")
