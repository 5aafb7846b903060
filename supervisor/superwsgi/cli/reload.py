"""`superwsgi reload`: as HUP, and to know how it went."""

from __future__ import annotations

import sys

import click

from superwsgi.cli.reach import NOT_RUNNING, Conversation, NotReached, fail, find, only_one, which_site
from superwsgi.control import Ended, Outcome, Progress, Reload, Stage
from superwsgi.log.words import duration
from superwsgi.master.serve import FAILED


@click.command(short_help="Load new configuration and code, without losing a request.")
@which_site
@click.option("-w", "--wait", is_flag=True, help="Follow the roll-out until it has succeeded or failed.")
def reload(site_file: str | None, socket_path: str | None, wait: bool) -> None:
    """Read the site file again and load the application anew, beside what serves; then workers move over one
    by one. If anything about it is broken, what served before goes on serving.

    \b
    Exit codes:
      0  the new generation serves (without --wait: it is being loaded)
      1  it failed or was rolled back; the reason is on stderr
      2  usage or configuration       3  no master answers
    """
    path = only_one(find(site_file, socket_path))
    line = _Line()
    try:
        with Conversation(path) as master:
            for answer in master.ask(Reload(follow=wait)):
                if isinstance(answer, Ended):
                    line.end()
                    _conclude(answer)
                elif isinstance(answer, Progress):
                    line.show(spell(answer))
                    if not wait:
                        line.end()
                        return
    except NotReached as error:
        fail(str(error), NOT_RUNNING)
    line.end()
    fail("the master is gone before the reload has ended", FAILED)


def _conclude(ended: Ended) -> None:
    if ended.outcome is Outcome.COMPLETE:
        click.echo(f"generation {ended.generation} serves, after {duration(ended.seconds)}")
        sys.exit(0)
    what = f"generation {ended.generation} " if ended.generation is not None else ""
    click.echo(f"superwsgi: reload {ended.outcome.value}: {what}{ended.reason}", err=True)
    if ended.detail:
        click.echo(ended.detail.rstrip(), err=True)
    sys.exit(FAILED)


def spell(progress: Progress) -> str:
    """`generation 4: 1 of 4 workers serve`."""
    if progress.stage is Stage.NOTED:
        return "waiting for another roll-out to end"
    if progress.stage is Stage.LOADING:
        return f"generation {progress.generation}: loading"
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
