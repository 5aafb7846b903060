"""`superwsgi why`: what has gone wrong, and what followed."""

from __future__ import annotations

import re
import sys
import textwrap
import time
from collections.abc import Iterator

import click
import msgspec

from superwsgi.cli.server.reach import Conversation, NotReached, fail
from superwsgi.cli.server.which import Which, find_one, which_site_and
from superwsgi.control import FAILED, Why, WhyRequest
from superwsgi.incidents import Incident
from superwsgi.log.spelling import duration, printable, printable_lines

_WIDTH = 100
_INDENT = " " * 6

_GLANCE = 20
"""Lines of a detail in a list; all of them are shown of a single incident."""

_CONCERNED = re.compile("#?[0-9]+|[0-9a-f-]{16,}")
"""What is no name of a site: numbers, and ids of requests as we make them."""

_EVENTS = """\b
What lines of the error log mean, and what to do:

\b
When it starts, or reloads
  application did not load      the traceback stands below the line; exit code 3
  No module named 'flask' …     superwsgi is in another virtual environment than the application:
                                install it into that one
  still booting                 an import, a hook or a page of `warmup` hangs, or the module calls
                                app.run(): the stacks that follow say where
  not preloaded                 the import leaves what a fork would break, so each worker imports:
                                superwsgi reference preload
  every warm-up request failed  the new code answers all pages of `warmup` by 5xx: it does not take over
  reload failed                 the generation before it goes on serving. Mend it, and reload again. Where
                                it says that the running one may hold something: rollout.overlap
  reload failed … answers were 5xx   the new code answers worse; mend it, or see rollout.max_errors
  rolled back in vain           the old code fails as well: it was not the release
  reload refused … tls.key      the old certificates stay in use

\b
When processes end
  died                          how, what the worker had in hand, and what follows
  fatal error                   C code has crashed it; below is the line of Python that called it
  suspect                       these requests are in hand when workers crash, and hardly at other moments;
                                `quarantine: on` keeps them out: superwsgi reference quarantine
  state=crash-loop              workers die right after their start, and are replaced less often, at least
                                every 30 seconds, one at a time while none serves
  site down                     no worker can be kept up. Clients wait. Mend the cause: within 30 seconds,
                                or at once with a reload, it serves again (`site recovered`)
  hangs                         something keeps the GIL; stacks follow, then the worker is replaced
  admin died                    the process of the page and the metrics; the site is not touched
  end cut short                 a worker waits for the application's threads and exit functions as it
                                ends, but no longer than timeouts.graceful
  program left running          the application has started it, and its worker is gone
  forked child came back        a view called os.fork() and the child returned from it: it is ended

\b
When there is too much of something
  to be recycled                a replacement starts, then the worker drains: of memory, age, number of
                                requests, or a request that computes on after its 504
  leak suspected                requests of this kind make a worker grow, and what they leave is no
                                garbage, nor a cache of the usual size that fills. Set memory.soft, and
                                look for what the page keeps
  memory short                  the kernel kills next: the largest worker that has grown is recycled. If
                                none has, others take the memory, and the line says so
  out of threads                all threads were taken for seconds. More `threads` or `workers`, or
                                quicker pages; an event stream holds a thread: superwsgi reference threads
  no more workers               requests wait, and workers.max, or memory, allows no more
  requests shed                 more comes than can be answered: 503 for some at once, so that the others
                                are answered in time; superwsgi reference limits.queue_age

\b
Of single requests
  slow request                  nothing came from the application for log.slow; its stack follows
  504                           it took longer than timeouts.request, or its rule in `paths`, allows
  503 with Retry-After          no thread was free for timeouts.queue, or requests are shed, or the page
                                is in quarantine: the log says which
  response broken off … file shorter   a file shrank as it was sent: rename new ones over old ones
  response field left out       the application sets what is the server's business; take it out
  forwarded fields ignored      a proxy is not in proxy.trusted (redirects to https may then never end)
  400 "this port speaks TLS"    plain HTTP came to an address that begins with https://
"""


@click.command(epilog=_EVENTS, short_help="Show what has gone wrong, and why.")
@which_site_and("what", lambda word: _CONCERNED.fullmatch(word) is not None)
@click.option("-n", "most", default=20, show_default=True, metavar="N", help="The last N incidents.")
@click.option("--short", is_flag=True, help="Only the first line of each.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each.")
def why(which: Which, what: str | None, most: int, short: bool, as_json: bool) -> None:
    """Show what has gone wrong, the newest first: the cause, the requests that it had to do with, what it did
    to clients, and what followed. NAME is the name of the site, and is not needed where
    only one runs. WHAT is the number of a worker, the name of a companion, a process id, the id of a
    request (it is in both logs, and in the response as X-Request-ID), or `#17`, the number of an incident in
    the error log.

    The master keeps the last 300, over reloads and upgrades; what happens again within a minute is counted.
    What the application itself answers by 5xx, its exceptions included, is in the logs alone.

    \b
    Exit codes:
      0  done, also if nothing has gone wrong
      1  nothing is known of WHAT
      2  usage or configuration, or no master answers
    """
    answer = _ask(which, WhyRequest(concerning=what, most=max(1, most)))
    if as_json:
        for one in answer.incidents:
            click.echo(msgspec.json.encode(one))
    else:
        now, room = time.time(), None if len(answer.incidents) == 1 else _GLANCE
        click.echo(
            "\n".join(line for one in answer.incidents for line in spell(one, now, short=short, most=room)),
            nl=False,
        )
        click.echo("" if answer.incidents else _nothing(answer, what))
    sys.exit(FAILED if what is not None and not answer.incidents else 0)


def _ask(which: Which, request: WhyRequest) -> Why:
    try:
        with Conversation(find_one(which)) as conversation:
            answer = next(conversation.ask(request), None)
    except NotReached as problem:
        fail(str(problem), problem.code)
    if not isinstance(answer, Why):
        fail("the master closed the connection", FAILED)
    return answer


def _nothing(answer: Why, what: str | None) -> str:
    if what is None:
        return f"{answer.site}: nothing has gone wrong"
    return f"{answer.site}: none of {answer.kept} incidents has to do with {printable(what)}"


def spell(one: Incident, now: float, *, short: bool = False, most: int | None = None) -> Iterator[str]:
    """Its lines: the first says all that matters, the others, indented, have the rest, with at most so many
    lines of the detail. `now` is Unix time."""
    yield head(one, now)
    if not short:
        for name, text in _rest(one):
            yield from textwrap.wrap(
                f"{name}: {printable(text)}",
                _WIDTH,
                initial_indent=_INDENT,
                subsequent_indent=_INDENT + "  ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        yield from (f"{_INDENT}| {line}" for line in _detail(one, most))
        yield ""


def _detail(one: Incident, most: int | None) -> Iterator[str]:
    """Of a longer one the last lines, which say the most in a traceback; of stacks as faulthandler writes
    them, the first."""
    lines = printable_lines(one.detail) if one.detail else []
    if most is None or len(lines) <= most:
        yield from lines
        return
    rest = f"... ({len(lines) - most} more lines: superwsgi why '#{one.number}')"
    if "most recent call last" in lines[0] or lines[0].startswith("  File"):
        yield rest
        yield from lines[-most:]
    else:
        yield from lines[:most]
        yield rest


def head(one: Incident, now: float) -> str:
    """`#17 04:12:44 (2m10s ago) worker 2 died: signal 11 (SIGSEGV); GET /crash 3f-1 100ms; 1 request lost;
    replaced, served again after 12ms`."""
    when = time.strftime("%H:%M:%S", time.localtime(one.last))
    what = one.title + (f": {one.cause}" if one.cause else "")
    told = [what, _requests(one), one.consequence, one.then]
    times = f" ({one.times} times)" if one.times > 1 else ""
    ago = duration(max(0.0, now - one.last))
    return f"#{one.number} {when} ({ago} ago) {printable('; '.join(filter(None, told)))}{times}"


def _requests(one: Incident) -> str:
    """The first of them, unless the cause names it."""
    if len(one.requests) == 1 and one.requests[0].id and one.requests[0].id in one.cause:
        return ""
    if len(one.requests) <= 1:
        return "".join(map(str, one.requests))
    return f"{one.requests[0]} and {len(one.requests) - 1} more"


_TOLD = ("requests", "status", "in_application", "taken", "lost")
"""Fields that the first line has in other words."""


def _rest(one: Incident) -> Iterator[tuple[str, str]]:
    if one.times > 1:
        yield "since", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.when))
    if one.pid is not None:
        yield "process", f"pid {one.pid}" + (f", generation {one.gen}" if one.gen is not None else "")
    if len(one.requests) > 1:
        for request in one.requests:
            yield "request", str(request)
    if one.memory:
        yield "memory", ", ".join(map(str, one.memory))
    for name, value in one.fields.items():
        if name not in _TOLD:
            yield printable(name), value
