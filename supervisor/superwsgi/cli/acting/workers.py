"""`superwsgi recycle`, `kill` and `workers`: exchange workers, and have more or fewer of them."""

from __future__ import annotations

import re

import click

from superwsgi.cli.acting.follow import act
from superwsgi.cli.server.which import Which, is_companion, is_worker, which_site_and
from superwsgi.control import KillRequest, RecycleRequest, WorkersRequest

_NUMBER = re.compile(r"auto|=[0-9]{1,9}|[+-][0-9]{1,9}")


def _check_worker(word: str) -> None:
    """Raises click.UsageError."""
    if not is_worker(word) and not is_companion(word):
        raise click.UsageError(f"WORKER is a number, a process id or the name of a companion, not {word!r}")


@click.command(short_help="Replace workers by fresh ones, without losing a request.")
@which_site_and("worker", is_worker)
@click.option(
    "-w", "--wait", is_flag=True, help="Wait until all that were to go are gone and replaced, and show it."
)
def recycle(which: Which, worker: str | None, wait: bool) -> None:
    """Replace a worker by a fresh one of the same code and configuration: once the new one serves, the old
    one answers what it has in hand, and ends. WORKER is its number or process id; without it all workers are
    replaced, one after the other. It may be the name of a companion, too, which is told to end before another
    one is started. NAME, the name of the site, is needed where several run, and before a companion's.

    No request is lost that takes less than timeouts.graceful. All workers cannot be recycled beside a reload,
    which replaces them anyway.

    \b
    Exit codes:
      0  it is done (without --wait: begun)
      1  it was refused, or the new worker did not serve; the reason is on stderr
      2  usage or configuration, or no master answers
    """
    if worker is not None:
        _check_worker(worker)
    act("recycle", which, RecycleRequest(worker=worker, follow=wait), wait=wait)


@click.command(short_help="End a worker at once; what it has in hand is lost.")
@which_site_and("worker", is_worker)
@click.option("-w", "--wait", is_flag=True, help="Wait until it is gone and another one serves, and show it.")
def kill(which: Which, worker: str | None, wait: bool) -> None:
    """End a worker by SIGKILL, and say which requests are lost with it; it is replaced at once. WORKER is its
    number or process id, or the name of a companion. NAME, the name of the site, is needed where several run,
    and before a companion's.

    \b
    Exit codes:
      0  it is done (without --wait: it is killed)
      1  it was refused, or the new worker did not serve; the reason is on stderr
      2  usage or configuration, or no master answers
    """
    if worker is None:
        raise click.UsageError("say which WORKER: its number or process id is in `superwsgi status`")
    _check_worker(worker)
    act("kill", which, KillRequest(worker=worker, follow=wait), wait=wait)


@click.command(short_help="Have more or fewer workers.", context_settings={"ignore_unknown_options": True})
@which_site_and("count", lambda word: _NUMBER.fullmatch(word) is not None)
@click.option("-w", "--wait", is_flag=True, help="Wait until so many serve, and no other is left.")
def workers(which: Which, count: str | None, wait: bool) -> None:
    """Have another number of workers until the next reload: COUNT is `+2`, `-1` or `=4`; or `auto`, as many
    as the load calls for again, where `workers` in the site file is a range. NAME is the name of the site,
    and is not needed where only one runs.

    A worker that is one too many answers what it has in hand, and ends. For another number from the next
    reload on change `workers` in the site file.

    \b
    Exit codes:
      0  it is done (without --wait: begun)
      1  it was refused, or a new worker did not serve; the reason is on stderr
      2  usage or configuration, or no master answers
    """
    if count is None or _NUMBER.fullmatch(count) is None:
        raise click.UsageError(f"COUNT is +1, -1, =4 or auto{'' if count is None else f', not {count!r}'}")
    number = int(count[1:]) if count.startswith("=") else None
    difference = int(count) if count[0] in "+-" else None
    request = WorkersRequest(number=number, difference=difference, follow=wait, auto=count == "auto")
    act("change of workers", which, request, wait=wait)
