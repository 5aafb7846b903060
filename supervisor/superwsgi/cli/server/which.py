"""Which site a command means: named by its name, its file or its socket, or not at all if only one runs.

Two sites may have one name, and one file two masters. So the name of a socket only helps to find it: each
master is asked what it serves, and a command that changes something reaches the one that is meant, or none.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from superwsgi.cli.server.reach import NOT_RUNNING, Conversation, NoAccess, NotAnswered, NotReached, fail
from superwsgi.config.errors import ConfigError
from superwsgi.config.schema import Site
from superwsgi.control import CONFIGURATION, FAILED, Snapshot, StatusRequest
from superwsgi.master.control import paths

_COMPANION: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}(:[0-9]{1,4})?")

_AT_ONCE: Final = 32
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_PLAIN: Final = StatusRequest()


@dataclass(frozen=True, slots=True)
class Which:
    """How the operator has named the site; at most one of these is given."""

    name: str | None
    file: str | None
    socket: str | None


@dataclass(frozen=True, slots=True)
class FoundSite:
    """A control socket, and what its master serves, or why that is not known."""

    path: Path
    served: Snapshot | None = None
    problem: NotReached | None = None

    def runs(self) -> bool:
        return self.served is not None or isinstance(self.problem, NotAnswered)

    def is_called(self, name: str) -> bool:
        return paths.may_be(self.path, name) if self.served is None else self.served.site == name

    def serves(self, file: str) -> bool:
        return self.served is not None and self.served.file is not None and _same(self.served.file, file)


def which_site(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument and options that name a site; it is called with a Which."""

    @functools.wraps(command)
    def chosen(name: str | None, site_file: str | None, socket_path: str | None, **rest: Any) -> Any:
        if sum(each is not None for each in (name, site_file, socket_path)) > 1:
            raise click.UsageError("give only one of NAME, -c FILE and --control SOCKET")
        if name is not None and _looks_like_a_file(name):
            name, site_file = None, name
        try:
            return command(Which(name, site_file, socket_path), **rest)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            _forget_output()
            fail(f"the answer cannot be written: {error.strerror}", FAILED)

    for parameter in (
        click.option("--control", "socket_path", metavar="SOCKET", help="The control socket of the site."),
        click.option("-c", "--config", "site_file", metavar="FILE", help="The site file of the site."),
        click.argument("name", required=False),
    ):
        chosen = parameter(chosen)
    return chosen


def _forget_output() -> None:
    """What is left of it would be tried once more at the end, and that failure be the exit code."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def which_site_and(
    argument: str, is_meant: Callable[[str], bool]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """As `which_site`, for a command that is called with another `argument` as well, or None. One word alone
    is that and not the name of a site if it `is_meant`, or if -c or --control names the site."""

    def given(command: Callable[..., Any]) -> Callable[..., Any]:
        with_site = which_site(click.argument(argument, required=False)(command))

        @functools.wraps(with_site)
        def chosen(name: str | None, site_file: str | None, socket_path: str | None, **rest: Any) -> Any:
            alone = name is not None and rest[argument] is None
            if alone and (site_file or socket_path or is_meant(str(name))):
                name, rest[argument] = None, name
            return with_site(name=name, site_file=site_file, socket_path=socket_path, **rest)

        return chosen

    return given


def is_companion(word: str) -> bool:
    """Whether it is the name of a companion, or of one of its places."""
    return _COMPANION.fullmatch(word) is not None


def is_worker(word: str) -> bool:
    """Whether it is the number of a worker, or a process id."""
    return word.isascii() and word.isdigit()


def find(which: Which, request: StatusRequest = _PLAIN) -> list[FoundSite]:
    """The sites that are meant, or all if none is named, and what their masters answer to the request. Exits
    with a message if what was named is not there."""
    if which.socket is not None:
        found = [_look(Path(which.socket))]
    elif which.file is not None:
        found = _of_file(which.file)
    elif which.name is not None:
        found = _of_name(which.name, _everywhere())
    else:
        found = [each for each in _everywhere() if not isinstance(each.problem, NoAccess)]
    return found if request == _PLAIN else _look_at(found, request)


def find_again(which: Which, found: Sequence[FoundSite], request: StatusRequest) -> list[FoundSite]:
    """What was found before, as it is now, or another master of that name; where no site was named, also
    those that have come since. Does not exit: one that is gone may come back."""
    if which == Which(None, None, None):
        return find(which, request)
    named = [] if which.name is None else [each for each in _everywhere() if each.is_called(which.name)]
    return _look_at([each for each in named if each.runs()] or found, request)


def _look_at(found: Sequence[FoundSite], request: StatusRequest) -> list[FoundSite]:
    return [_look(each.path, request) for each in found]


def find_one(which: Which) -> Path:
    """For commands that change something: the socket of the site that is meant. Exits if it is not clear
    which one that is, or its master does not answer."""
    found = find(which)
    running = [each for each in found if each.runs()] if len(found) > 1 else found
    if len(running) > 1:
        fail("\n  ".join([_ambiguous(which, running), *_ways_to_say(running)]), CONFIGURATION)
    if not running:
        fail(nothing_runs(), NOT_RUNNING)
    if running[0].problem is not None:
        fail(str(running[0].problem), running[0].problem.code)
    return running[0].path


def nothing_runs() -> str:
    return f"this user can see no running site; give -c FILE or --control SOCKET{_not_looked_into()}"


def _not_looked_into() -> str:
    return "".join(f"\n  skipped: {reason}" for reason in paths.ignored(os.environ))


def _ambiguous(which: Which, running: Sequence[FoundSite]) -> str:
    if which.name is not None:
        return f"{len(running)} sites are called {which.name}; say which one is meant:"
    if which.file is not None:
        return f"{len(running)} masters serve {which.file}; say which one is meant:"
    return f"{len(running)} sites run here; say which one is meant:"


def _ways_to_say(running: Sequence[FoundSite]) -> Iterator[str]:
    command = click.get_current_context().command_path
    ways = [f"{command} {_way_to_say(each, running)}" for each in running]
    longest = max(map(len, ways))
    for way, each in zip(ways, running, strict=True):
        yield f"{way:{longest}}  ({_described(each)})"


def _way_to_say(each: FoundSite, running: Sequence[FoundSite]) -> str:
    """The shortest way to name it."""
    served = each.served
    if served is not None and sum(other.is_called(served.site) for other in running) == 1:
        return served.site
    if served is not None and served.file and sum(other.serves(served.file) for other in running) == 1:
        return f"-c {shlex.quote(served.file)}"
    return f"--control {shlex.quote(str(each.path))}"


def _described(each: FoundSite) -> str:
    if each.served is None:
        return "it does not say what it serves"
    return f"pid {each.served.pid}, {each.served.file or 'no site file'}"


def _everywhere() -> list[FoundSite]:
    """All at once: one that hangs does not hold up the others."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(_look, paths.sockets(os.environ)))


def _look(path: Path, request: StatusRequest = _PLAIN) -> FoundSite:
    try:
        with Conversation(path) as master:
            served = next((each for each in master.ask(request) if isinstance(each, Snapshot)), None)
    except NotReached as problem:
        return FoundSite(path, problem=problem)
    gone = None if served is not None else NotReached(f"the master at {path} is gone")
    return FoundSite(path, served, gone)


def _of_name(name: str, everywhere: Sequence[FoundSite]) -> list[FoundSite]:
    found = [each for each in everywhere if each.is_called(name)]
    if not found:
        fail(f"no site called {name} runs here; {_others(everywhere)}{_not_looked_into()}", NOT_RUNNING)
    return [each for each in found if each.runs()] or found[:1]


def _others(everywhere: Sequence[FoundSite]) -> str:
    names = sorted({each.served.site for each in everywhere if each.served is not None})
    return f"running: {', '.join(names)}" if names else "this user can see no other"


def _looks_like_a_file(name: str) -> bool:
    return "/" in name or name.endswith((".yaml", ".yml"))


def _of_file(file: str) -> list[FoundSite]:
    """The masters of a site file, which may have been changed since they read it."""
    site, error = _load(file)
    if site is not None and site.control == paths.OFF:
        fail(f"{file}: control is off", CONFIGURATION)
    named = [_look(Path(site.control))] if site is not None and site.control is not None else []
    found = named if any(each.serves(file) for each in named) else _everywhere()
    serving = [each for each in found if each.serves(file)]
    if serving:
        return serving
    if site is None:
        click.echo(str(error), err=True)
        sys.exit(CONFIGURATION)
    return _silent(file, named or [each for each in found if each.is_called(site.name)])


def _load(file: str) -> tuple[Site | None, ConfigError | None]:
    from superwsgi.config.loading import load  # for no command that names the site, or its socket

    try:
        return load(file, os.environ), None
    except ConfigError as error:
        return None, error


def _silent(file: str, candidates: Sequence[FoundSite]) -> list[FoundSite]:
    """A socket that may be the site's, but whose master does not say so. Exits if there is none."""
    silent = [each for each in candidates if isinstance(each.problem, NotAnswered | NoAccess)]
    others = [
        f"{each.path} belongs to {each.served.file or 'a site without a file'}"
        for each in candidates
        if each.served
    ]
    if others and not silent:
        then = "is it running? If so, give it a name or a control socket of its own"
        fail(f"no master of {file} answers: {', '.join(others)}; {then}", NOT_RUNNING)
    if not candidates:
        fail(f"no master of {file} answers{_not_looked_into()}", NOT_RUNNING)
    return (silent or list(candidates))[:1]


def _same(one: str, other: str) -> bool:
    """A shell that was in `current` before that led elsewhere still says so in $PWD."""
    with contextlib.suppress(OSError):
        if Path(one).samefile(other):
            return True
    return one == str(Path(os.environ.get("PWD", ""), other))
