"""Following a roll-out from a command: progress on stdout, how it ended, and the exit code for that."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from superwsgi.control import Answer, Ended, Outcome, Progress, Stage
from superwsgi.log.spelling import duration, printable, printable_lines
from superwsgi.master.serve import FAILED


def follow(what: str, answers: Iterable[Answer], *, wait: bool) -> None:
    """Show the answers to one request; without `wait`, the first. Exits where they tell how `what` ended, and
    returns where the master is gone before."""
    line = _Line()
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
    if ended.outcome is Outcome.COMPLETE:
        click.echo(f"generation {ended.generation} serves, after {duration(ended.seconds)}")
        sys.exit(0)
    of = f"generation {ended.generation}: " if ended.generation is not None else ""
    click.echo(f"superwsgi: {what} {ended.outcome.value}: {of}{printable(ended.reason)}", err=True)
    if ended.detail:
        click.echo("\n".join(printable_lines(ended.detail)), err=True)
    sys.exit(FAILED)


_WITHOUT_NUMBERS = {
    Stage.NOTED: "waiting for another roll-out to end",
    Stage.REHEARSING: "trying the new program",
}
_BEFORE_WORKERS = {
    Stage.PREPARING: "running rollout.before",
    Stage.MAKING_ROOM: "waiting for the old generation to end",
    Stage.LOADING: "loading",
}


def spell(progress: Progress) -> str:
    """`generation 4: 1 of 4 workers serve`."""
    if progress.stage in _WITHOUT_NUMBERS:
        return _WITHOUT_NUMBERS[progress.stage]
    if progress.stage in _BEFORE_WORKERS:
        return f"generation {progress.generation}: {_BEFORE_WORKERS[progress.stage]}"
    serving = f"{progress.done} of {progress.total} workers serve"
    confirming = ", to be confirmed" if progress.stage is Stage.CONFIRMING else ""
    return f"generation {progress.generation}: {serving}{confirming}"


class _Line:
    """Progress: on a terminal one line that changes, elsewhere a line for each step."""

    def __init__(self) -> None:
        self._changes = sys.stdout.isatty()
        self._open = False

    def show(self, text: str) -> None:
        click.echo(f"\r\033[K{text}" if self._changes else text, nl=not self._changes)
        self._open = self._changes

    def end(self) -> None:
        if self._open:
            click.echo()
            self._open = False
