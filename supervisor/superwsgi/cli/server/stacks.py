"""`superwsgi stacks`: what the threads of a site do right now.

Stacks are spelled as in Python's tracebacks, outermost call first: so they look like those in the log, and
editors find their lines. Threads at the same place are listed above one stack.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby

import click

from superwsgi.cli.server.reach import only_answer
from superwsgi.cli.server.which import Which, find_one, is_worker, which_site_and
from superwsgi.control import MOLD, AllStacks, ProcessStacks, StacksRequest, ThreadStack, encode
from superwsgi.incidents import RequestInHand
from superwsgi.log.spelling import duration, printable, printable_lines

_ORDER = ("request", "abandoned", "application", "idle", "server")

_NAMED = 20
"""Threads that are named above one stack; others at the same place are counted."""


def _is_process(word: str) -> bool:
    return word == MOLD or is_worker(word)


@click.command(short_help="Show what the threads of a site do right now.")
@which_site_and("worker", _is_process)
@click.option("--all", "everything", is_flag=True, help="Also threads that wait, and those of the server.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def stacks(which: Which, worker: str | None, everything: bool, as_json: bool) -> None:
    """Show what the threads of a site do right now: each with its request, since when, and its Python stack.
    NAME is the name of the site, and is not needed where only one runs. WORKER is the number or the process
    id of a worker, or `mold` for the process that imports the application; without it, all workers are shown.

    Nothing is interrupted. If a worker cannot answer, because something in C holds its interpreter, these are
    faulthandler's stacks.

    \b
    Exit codes:
      0  they are shown
      1  there is no such worker
      2  usage or configuration, or no master answers
    """
    if worker is not None and not _is_process(worker):
        raise click.UsageError(f"WORKER is a number, a process id or mold, not {worker!r}")
    answer = only_answer(find_one(which), StacksRequest(of=worker), AllStacks)
    click.echo(encode(answer) if as_json else spell(answer, everything=everything), nl=False)


def spell(answer: AllStacks, *, everything: bool = False) -> str:
    """A paragraph for each process and each place where threads are."""
    if not answer.processes:
        return "no worker runs\n"
    paragraphs = (each for process in answer.processes for each in _process(process, everything))
    return "\n\n".join(paragraphs) + "\n"


def _process(process: ProcessStacks, everything: bool) -> Iterator[str]:
    who = "mold" if process.number is None else f"worker {process.number}"
    pid = f", pid {process.pid}" if process.pid is not None else ""
    head = f"{who}, generation {process.generation}{pid}, {process.state}"
    lines = [f"{head}: {process.note}" if process.note else head]
    if process.in_hand and (process.by_faulthandler or not process.threads):
        lines.append(f"  in hand: {', '.join(map(_request, process.in_hand))}")
    yield "\n".join(lines)
    shown = [each for each in process.threads if everything or each.kind not in ("idle", "server")]
    for stack, threads in _places(shown):
        yield _place(stack, threads, by_itself=not process.by_faulthandler)
    rest = ", ".join(_rest(process, 0 if everything else len(process.threads) - len(shown)))
    if rest:
        yield f"  {rest}"


def _places(threads: Iterable[ThreadStack]) -> Iterator[tuple[str, list[ThreadStack]]]:
    """Stacks and who is there: first requests, the oldest of them at the top."""
    longest: dict[str, tuple[int, float]] = {}
    for each in threads:
        rank = _ORDER.index(each.kind) if each.kind in _ORDER else len(_ORDER), -(each.seconds or 0.0)
        longest[each.stack] = min(rank, longest.get(each.stack, rank))
    ordered = sorted(threads, key=lambda each: (longest[each.stack], each.stack, -(each.seconds or 0.0)))
    for stack, there in groupby(ordered, key=lambda each: each.stack):
        yield stack, [*there]


def _place(stack: str, threads: list[ThreadStack], *, by_itself: bool) -> str:
    lines = [f"  {_thread(each, by_itself=by_itself)}" for each in threads[:_NAMED]]
    if len(threads) > _NAMED:
        lines.append(f"  and {len(threads) - _NAMED} more:")
    return "\n".join([*lines, *(f"  {line}" for line in printable_lines(stack))])


def _thread(thread: ThreadStack, *, by_itself: bool) -> str:
    """`thread-3  GET /report  0b3f5d41f2a9b7-1841  4.2s`. A process that answers `by_itself` knows whose its
    threads are."""
    name = printable(thread.name) or f"thread 0x{thread.ident:x}"
    if thread.request is not None:
        return f"{name}  {_request(thread.request)}"
    if thread.kind == "abandoned":
        return f"{name}  abandoned; its request began {duration(thread.seconds or 0.0)} ago"
    if thread.kind == "idle":
        return f"{name}  waits for requests"
    if by_itself:
        return f"{name}  started by the {thread.kind}"
    return f"{name}  in the {thread.kind}"


def _request(request: RequestInHand) -> str:
    words = f"{request.method} {request.target}", request.id, duration(request.seconds or 0.0)
    return "  ".join(printable(word) for word in words if word)


def _rest(process: ProcessStacks, hidden: int) -> Iterator[str]:
    """`28 threads wait for requests, 4 are the server's`."""
    count = Counter(each.kind for each in process.threads)
    if hidden and process.by_faulthandler:
        yield f"{_threads(hidden)} in code of the server: they wait for requests, or are its own"
    elif hidden:
        if count["idle"]:
            yield f"{_threads(count['idle'])} wait{'s' * (count['idle'] == 1)} for requests"
        yield f"{count['server']} of the server"
    if process.left_out:
        yield f"{_threads(process.left_out)} left out"


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count != 1)}"
