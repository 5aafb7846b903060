"""`superwsgi profile`: where the time of requests goes."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from superwsgi.cli.server.line import Line
from superwsgi.cli.server.reach import Conversation, NotReached, fail
from superwsgi.cli.server.which import Which, find_one, is_worker, which_site_and
from superwsgi.control import FAILED, Answer, Profile, ProfileRequest, Progress
from superwsgi.log.spelling import printable
from superwsgi.profiles.formats import ENDINGS, FORMATS
from superwsgi.profiles.hottest import spell
from superwsgi.profiles.summing import sampled
from superwsgi.profiles.wording import workers_not_told
from superwsgi.samples import RATE, SECONDS

_READING = """`self` is what a function itself takes, `total` includes what it calls, and the line is the one
where it spends most. Time is that of threads, so four requests at once take four seconds a second."""


@click.command(epilog=_READING, short_help="Show where the time of requests goes.")
@which_site_and("worker", is_worker)
@click.option(
    "--seconds", type=click.FloatRange(*SECONDS), default=10.0, show_default=True, help="How long to look."
)
@click.option(
    "--rate", type=click.FloatRange(*RATE), default=100.0, show_default=True, help="Samples a second."
)
@click.option(
    "--cpu", is_flag=True, help="Only as far as threads compute; else what they wait for counts, too."
)
@click.option("--path", metavar="PREFIX", help="Only requests for /PREFIX and what is below it.")
@click.option(
    "-o", "--output", metavar="FILE", help="Write it to FILE; .html, .json or .txt says the format."
)
@click.option(
    "--format",
    "wanted",
    type=click.Choice([*FORMATS]),
    help="A flame graph, speedscope's JSON or collapsed stacks; to stdout without -o.",
)
def profile(
    which: Which,
    worker: str | None,
    seconds: float,
    rate: float,
    cpu: bool,
    path: str | None,
    output: str | None,
    wanted: str | None,
) -> None:
    """Find the slow line: sample the stacks of threads that are in requests, in workers as they serve, and
    sum them by groups of paths. Nothing has to be installed or restarted. NAME is the name of the site, and
    is not needed where only one runs. WORKER is the number or the process id of a worker; without it, all
    workers are sampled. Without -o and --format, the hottest functions of each group are shown, with their
    lines.

    It is sampling inside of the interpreter, which sees threads where they can give up the GIL. C code that
    holds the GIL makes samples late, which is said, and the time goes to its caller. It takes at most 2.5 %
    of a CPU at up to 100 samples a second, for which it leaves out samples where hundreds of threads are deep
    in code. While it runs, a thread that computes gives up the GIL after 0.5 ms if others want it, instead of
    5 ms (sys.setswitchinterval): or what computes for a few milliseconds would be found in what it does next.

    \b
    superwsgi profile shop                             the hottest functions, as text
    superwsgi profile shop -o report.html              a flame graph, for a browser
    superwsgi profile shop --path /report --cpu        what computes below /report

    \b
    Exit codes:
      0  it is shown, or written
      1  there is no such worker, or none could be sampled
      2  usage or configuration, or no master answers
    """
    if worker is not None and not is_worker(worker):
        raise click.UsageError(f"WORKER is a number or a process id, not {worker!r}")
    if path is not None and not path.startswith("/"):
        raise click.UsageError(f"--path begins with /, as in --path /{path}")
    if math.isnan(seconds) or math.isnan(rate):  # in any range, for click
        raise click.UsageError("--seconds and --rate are numbers")
    wanted = wanted or (None if output is None else _format_of(output))
    socket = find_one(which)
    request = ProfileRequest(of=worker, seconds=seconds, rate=rate, cpu=cpu, path=path)
    with _made(output) as file:
        found = _ask(socket, request)
        if wanted is None:
            _show(found)
        else:
            _write(FORMATS[wanted](found), file, found)
    sys.exit(0 if sampled(found) else FAILED)


def _format_of(output: str) -> str:
    ending = Path(output).suffix.lower()
    if ending not in ENDINGS:
        raise click.UsageError(
            f"how {output} ends does not say its format: name it *.html, *.json or *.txt, or give --format"
        )
    return ENDINGS[ending]


@contextlib.contextmanager
def _made(output: str | None) -> Iterator[Path | None]:
    """The file, found to be writable before anybody waits for a profile. A new one is removed if nothing
    comes of it."""
    if output is None or output == "-":
        yield None
        return
    file, new = Path(output), not os.path.lexists(output)
    try:
        file.open("ab").close()
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}", FAILED)
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):
            if new and not file.stat().st_size:
                file.unlink()


def _ask(socket: Path, request: ProfileRequest) -> Profile:
    line = Line(err=True)
    try:
        with Conversation(socket) as master:
            found = _last(master.ask(request), line)
    except NotReached as error:
        line.clear()
        fail(str(error), error.code)
    line.clear()
    return found or fail("the master ended before it answered", FAILED)


def _last(answers: Iterable[Answer], line: Line) -> Profile | None:
    """The profile that comes at the end; until then the line says how long that takes."""
    found = None
    for answer in answers:
        if isinstance(answer, Profile):
            found = answer
        elif isinstance(answer, Progress):
            line.expect(f"sampling, {answer.total - answer.done}s left")
    return found


def _show(found: Profile) -> None:
    for text in spell(found):
        click.echo(text)
    if sampled(found):
        click.echo(f"\nas a flame graph: {_again(found)} -o profile.html")


def _again(found: Profile) -> str:
    words = ["superwsgi", "profile", found.site, found.of, *(("--path", found.path) if found.path else ())]
    return printable(" ".join([*filter(None, words), *["--cpu"] * found.cpu]))


def _write(text: str, file: Path | None, found: Profile) -> None:
    if file is None:
        click.echo(text, nl=not text.endswith("\n"))
    else:
        try:
            file.write_text(text, "utf-8", "surrogateescape")
        except OSError as error:
            fail(f"{file} cannot be written: {error.strerror}", FAILED)
        click.echo(f"written to {file}", err=True)
    for note in workers_not_told(found):
        click.echo(f"superwsgi: {printable(note)}", err=True)
