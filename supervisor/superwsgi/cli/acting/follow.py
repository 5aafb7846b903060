"""Following from a command what it has asked for: progress on stdout, how it ended, and the exit code for
that.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Final

import click

from superwsgi.cli.server.line import Line
from superwsgi.cli.server.reach import Conversation, NotReached, fail
from superwsgi.cli.server.which import Which, find_one
from superwsgi.control import FAILED, Answer, Ended, Outcome, Progress, Request, Stage
from superwsgi.log.spelling import duration, printable, printable_lines


def act(what: str, which: Which, request: Request, *, wait: bool) -> None:
    """Ask the master of the site that is meant for `what`; with `wait`, exit as it ends."""
    line = Line()
    path = find_one(which)
    try:
        with Conversation(path) as master:
            line.expect("waiting for the master's answer")
            follow(what, master.ask(request), line, wait=wait)
    except NotReached as error:
        line.end()
        fail(str(error), error.code)
    if wait:
        fail(f"the master ended before the {what} did", FAILED)


def follow(what: str, answers: Iterable[Answer], line: Line, *, wait: bool) -> None:
    """Show the answers to one request; without `wait`, the first. Exits where they tell how `what` ended, and
    returns where the master is gone before."""
    for answer in answers:
        if isinstance(answer, Ended):
            line.end()
            _conclude(what, answer)
        elif isinstance(answer, Progress):
            line.show(spell(answer))
            if not wait:
                break
    line.end()


def _conclude(what: str, ended: Ended) -> None:
    after = duration(ended.seconds)
    if ended.outcome is Outcome.COMPLETE:
        click.echo(f"{printable(ended.reason) or f'generation {ended.generation} serves'}, after {after}")
        sys.exit(0)
    of = f"generation {ended.generation}: " if ended.generation is not None else ""
    click.echo(f"superwsgi: {what} {ended.outcome.value}: {of}{printable(ended.reason)}", err=True)
    if ended.detail:
        click.echo("\n".join(printable_lines(ended.detail)), err=True)
    sys.exit(FAILED)


_WITHOUT_NUMBERS: Final = {
    Stage.NOTED: "waiting for another roll-out to end",
    Stage.REHEARSING: "trying the new program",
    Stage.REOPENING: "reopening the log files",
}
_BEFORE_WORKERS: Final = {
    Stage.PREPARING: "running rollout.before",
    Stage.MAKING_ROOM: "waiting for the old generation to end",
    Stage.LOADING: "loading",
}
_OF_WORKERS: Final = {
    Stage.RECYCLING: "recycled",
    Stage.KILLING: "replaced",
    Stage.SCALING: "changed",
}


def spell(progress: Progress) -> str:
    """`generation 4: 1 of 4 workers serve; worker 2 (pid 830) boots`."""
    done = "" if progress.stage in _OF_WORKERS and progress.total == 1 else _done(progress)
    return "; ".join(filter(None, (done, printable(progress.waits_for))))


def _done(progress: Progress) -> str:
    if progress.stage in _WITHOUT_NUMBERS:
        return _WITHOUT_NUMBERS[progress.stage]
    if progress.stage in _BEFORE_WORKERS:
        return f"generation {progress.generation}: {_BEFORE_WORKERS[progress.stage]}"
    if progress.stage is Stage.STOPPING:
        return f"stopping, {progress.total} worker{'s' * (progress.total != 1)} left"
    if progress.stage in _OF_WORKERS:
        return f"{progress.done} of {progress.total} {_OF_WORKERS[progress.stage]}"
    serving = f"{progress.done} of {progress.total} workers serve"
    confirming = ", to be confirmed" if progress.stage is Stage.CONFIRMING else ""
    return f"generation {progress.generation}: {serving}{confirming}"
