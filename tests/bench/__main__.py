"""`python -m tests.bench`: the command line."""

from __future__ import annotations

import dataclasses
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import click

from tests.bench import report
from tests.bench.bench import FULL, QUICK, Pace
from tests.bench.environment import Environment
from tests.bench.plotter import plotter
from tests.bench.process import BenchError
from tests.bench.results import Results
from tests.bench.run import Names, run
from tests.bench.scenarios import README, REAL, SCENARIOS, USUAL
from tests.bench.servers import BEFORE, CHOICE, OURS, PEERS, QUICK_PEERS, USUAL_PEERS
from tests.bench.servers import REAL as REAL_SERVERS

OUTPUT = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
PROGRAM = click.Path(exists=True, dir_okay=False, path_type=Path)
INPUT = click.Path(exists=True, dir_okay=False, path_type=Path)


def names_of(known: Names) -> Callable[[click.Context, click.Parameter, str], Names]:
    """A callback that reads comma-separated names out of `known`."""

    def read(ctx: click.Context, param: click.Parameter, value: str) -> Names:
        names = tuple(filter(None, value.split(",")))
        if unknown := set(names) - set(known):
            raise click.BadParameter(f"{', '.join(sorted(unknown))}: not one of {', '.join(known)}")
        return names

    return read


@click.command()
@click.option("--quick", is_flag=True, help="One short round, few peers: two minutes, not twelve.")
@click.option("--readme", is_flag=True, help="Only what the README's table shows.")
@click.option("--real", is_flag=True, help="Real work, and all who do it: forty minutes.")
@click.option("--all", "everything", is_flag=True, help="All other scenarios and peers: an hour.")
@click.option("--only", default="", callback=names_of(tuple(SCENARIOS)), help="These scenarios.")
@click.option("--peers", default="", callback=names_of(CHOICE), help="These peers.")
@click.option("--python", type=PROGRAM, default=sys.executable, help="Measure on this interpreter.")
@click.option("--before", type=FOLDER, help="Measure the superwsgi of this checkout, too.")
@click.option("--repeat", type=click.IntRange(min=1), help="Rounds, each server once in each.")
@click.option("--plot", type=OUTPUT, help="Write the plot to this PNG file.")
@click.option("--markdown", type=OUTPUT, help="Write the report to this file too.")
@click.option("--json", "raw", type=OUTPUT, help="Write every sample to this file.")
@click.option("--replay", type=INPUT, help="Report this JSON file of an earlier run; measure nothing.")
def main(
    quick: bool,
    readme: bool,
    real: bool,
    everything: bool,
    only: Names,
    peers: Names,
    python: Path,
    before: Path | None,
    repeat: int | None,
    plot: Path | None,
    markdown: Path | None,
    raw: Path | None,
    replay: Path | None,
) -> None:
    """Run this server and its peers on the same work, alternating, and report medians.

    What is measured of this server is the wheel that `pip install .` makes of the checkout: compiled.

    Scenarios: hello, flask, body, sleep, mixed, sequential (those of the README), mixed-300, mixed-fixed,
    mixed-fifo, static, sleepers, threads-at-rest (these unasked, too), mixed-many, connect, access-log,
    tls, idle, mold, hazard, reload, overload, overload-5, overload-20, overload-60, streams,
    streams-told, streams-many, streams-many-flask (these for superwsgi-green), slow-head, slow-body,
    slow-read, idle-connections, stall-body, stall-workers, stall-pages, stall-queries, stall-sleepers,
    cores-hello, cores-flask.
    Real work: real-json, real-row, real-rows, real-fortunes, real-django (these with a PostgreSQL of the
    bench's own), real-upload, real-streams, real-sleepers, real-static; by --only in parts of a few minutes.
    Peers: gunicorn, waitress, granian, bjoern, nginx (for static; these unasked), fastpysgi, uwsgi,
    gunicorn-gevent, uwsgi-gevent; superwsgi-threads, superwsgi-green: as a site is set up whose pages wait.
    """
    draw = plotter() if plot else None
    real = real or (bool(only) and set(only) <= set(REAL))
    scenarios = only or _scenarios(readme, real, everything)
    others = peers or _peers(quick, real, everything)
    ours: Names = (OURS,)
    earlier = None
    if before:
        ours, earlier = (OURS, BEFORE), Environment(python, before.resolve())
    try:
        results = (
            Results.read(replay)
            if replay
            else run(pace(quick, repeat), scenarios, (*ours, *others), Environment(python), earlier)
        )
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


def _scenarios(readme: bool, real: bool, everything: bool) -> Names:
    others = tuple(name for name in SCENARIOS if name not in REAL)
    return REAL if real else others if everything else README if readme else USUAL


def _peers(quick: bool, real: bool, everything: bool) -> Names:
    return REAL_SERVERS if real else PEERS if everything else QUICK_PEERS if quick else USUAL_PEERS


def pace(quick: bool, repeat: int | None) -> Pace:
    usual = QUICK if quick else FULL
    return dataclasses.replace(usual, rounds=repeat or usual.rounds)


def _end(signum: int, frame: object) -> NoReturn:
    """SIGTERM unwinds like Ctrl-C, so that every server is stopped."""
    sys.exit(128 + signum)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    main(prog_name="python -m tests.bench")
