"""`superwsgi check -c site.yaml`: find what would keep a site from starting, without starting it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import click
import msgspec

from superwsgi.board.scoreboard import Scoreboard
from superwsgi.channel import Channel, Closed, Forged
from superwsgi.cli.site.serve import read_or_exit
from superwsgi.config.errors import ConfigError
from superwsgi.config.listening import UnixAddress
from superwsgi.config.rules import surprises
from superwsgi.config.schema import Site
from superwsgi.config.sections import TlsSettings
from superwsgi.log.files import LogTargetError, check_target, try_making, try_writing, write_error
from superwsgi.log.spelling import duration, ending, printable, printable_lines
from superwsgi.master.admin.needs import require
from superwsgi.master.control.paths import OFF
from superwsgi.master.master import APP_NOT_LOADED
from superwsgi.master.processes import hearing, launch
from superwsgi.master.release import Origin, Release
from superwsgi.master.serve import CONFIGURATION
from superwsgi.messages import Boot, Loaded, LoadFailed
from superwsgi.metrics.folder import MetricsFolder, elsewhere, told
from superwsgi.system.privileges import PrivilegeError, identity
from superwsgi.tls import interface
from superwsgi.tls.interface import CertificateError
from superwsgi.worker.hazards.finding import A_LOCK

_STDERR: Final = 2
_PAUSE: Final = 0.01
_TO_WRITE: Final = 0.5
"""Seconds that a mold gets to write its stacks."""


@click.command(short_help="Find out whether a site would start, without starting it.")
@click.option("-c", "--config", "path", metavar="FILE", required=True, help="The site file.")
def check(path: str) -> None:
    """Check a site file, and import its application in a process of its own, without serving it.

    \b
    Exit codes: 0 would start, 2 configuration, 3 the application does not load.
    """
    site = read_or_exit(path)
    problems = list(_surroundings(site))
    for problem in problems:
        click.echo(f"{path}: {problem}", err=True)
    result = load_apart(_loadable(site))
    if isinstance(result, LoadFailed):
        click.echo(f"{path}: the application does not load: {printable(result.reason)}", err=True)
        if result.detail:
            click.echo("\n".join(printable_lines(result.detail)), err=True)
        sys.exit(CONFIGURATION if problems else APP_NOT_LOADED)
    if problems:
        sys.exit(CONFIGURATION)
    click.echo(f"{path}: fine; the application loads in {duration(result.seconds)}")
    if site.rollout.before is not None:
        click.echo(f"rollout.before: {site.rollout.before!r} runs before each generation; it was not run now")
    if result.hazards and site.preload:
        found = printable(", ".join(result.hazards))
        click.echo(f"preload: {found} would not survive a fork: {_consequence(site, result.hazards)}")


def load_apart(site: Site) -> Loaded | LoadFailed:
    """Import a site's application in a mold that forks nothing and is thrown away."""
    with _metrics_aside(site) as told_of:
        return _load_apart(told_of)


@contextmanager
def _metrics_aside(site: Site) -> Iterator[Site]:
    """The site with a folder for the application's metrics that nobody adds up, if it is to have one."""
    if not site.metrics.app or elsewhere(site, os.environ) is not None:
        yield told(site, None)
        return
    metrics = MetricsFolder(f"{site.name}.check", [])
    try:
        try:
            folder = metrics.prepare(site)[0]
        except OSError:  # a start would say so, and go on without
            folder = None
        yield told(site, folder)
    finally:
        metrics.remove()


def _load_apart(site: Site) -> Loaded | LoadFailed:
    release = Release.of(site, Origin.of_process(site.chdir), os.environ)
    site = msgspec.structs.replace(release.pinned(site), preload=True, warmup=())
    channel, theirs = Channel.pair()
    with closing(channel), closing(Scoreboard.create(1, site.most_threads + 1, site.metrics.paths)) as board:
        try:
            with theirs:
                pid = launch.execute(site, release, theirs, ())
        except (OSError, PrivilegeError) as error:
            return LoadFailed(f"cannot start a mold: {launch.why(error)}")
        channel.set_timeout(site.timeouts.boot)
        boot = Boot(os.getpid(), 1, site, error_log=True, access_log=False, links=release.links)
        boot = msgspec.structs.replace(boot, search_path=release.search_path)
        channel.send(boot, [board.fd, _STDERR])
        outcome = _outcome(pid, channel, site)
    _let_end(pid, site.timeouts.graceful)
    return outcome


def _outcome(pid: int, channel: Channel, site: Site) -> Loaded | LoadFailed:
    try:
        message, sender = channel.hear()
        hearing.after(hearing.MOLD, hearing.Said.NOTHING, message, sender=sender, of=pid)
        if isinstance(message, Loaded | LoadFailed):
            return message
        raise Forged(f"{type(message).__name__} to a check", sender)
    except Forged as error:
        _end(pid)
        return LoadFailed(f"the process that imported it sent an impossible message: {error}")
    except TimeoutError:
        _show_stacks(pid, channel)
        _end(pid)
        within = duration(site.timeouts.boot)
        return LoadFailed(f"not loaded after {within} (timeouts.boot); its stacks are above")
    except Closed:
        _, status = os.waitpid(pid, 0)
        return LoadFailed(
            f"the process that imported it ended with {ending(os.waitstatus_to_exitcode(status))}"
        )


def _let_end(pid: int, patience: float) -> None:
    """Wait for a mold that nobody listens to any more: it may remove files of its own."""
    deadline = time.monotonic() + patience
    with suppress(ChildProcessError):  # it was waited for already
        while os.waitpid(pid, os.WNOHANG)[0] == 0 and time.monotonic() < deadline:
            time.sleep(_PAUSE)


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _show_stacks(pid: int, channel: Channel) -> None:
    """Have the mold say where it hangs, and give it time to."""
    os.kill(pid, signal.SIGUSR2)
    channel.set_timeout(_TO_WRITE)
    with suppress(TimeoutError, Closed, Forged):
        channel.hear()


def _consequence(site: Site, hazards: Sequence[str]) -> str:
    if site.preload != "auto":
        return "the workers are forked without them; create them in hooks.after_fork, or set preload: auto"
    apart = "every worker imports the application itself"
    if any(hazard.startswith(A_LOCK) for hazard in hazards) and not _runs_alone(site):
        return f"{apart}; if only one may hold the lock, set `workers: 1` and `rollout: {{overlap: no}}`"
    return f"{apart}; to share its memory, create them in hooks.after_fork"


def _runs_alone(site: Site) -> bool:
    return site.workers == 1 and not site.rollout.overlap


def _loadable(site: Site) -> Site:
    """The site as far as it can be loaded here, so that one problem does not hide the next."""
    site = msgspec.structs.replace(launch.without_admin(site), tls=TlsSettings())
    try:
        identity(site.user, site.group)
    except PrivilegeError:
        site = msgspec.structs.replace(site, user=None, group=None)
    return site


def _surroundings(site: Site) -> Iterator[str]:
    """What the site file names and this machine lacks."""
    for surprise in surprises(site):
        click.echo(f"warning: {surprise}", err=True)
    try:
        identity(site.user, site.group)
    except PrivilegeError as error:
        yield str(error)
    try:
        require(site)
    except (ConfigError, PrivilegeError) as error:
        yield str(error)
    try:
        certificates = interface.load(site.tls)
        for warning in certificates.warnings if certificates is not None else ():
            click.echo(f"warning: {warning}", err=True)  # it would start all the same
    except CertificateError as error:
        yield from error.problems
    if not Path(site.chdir).is_dir():
        yield f"chdir: {site.chdir} is not a folder"
    for key, target in (("log.access", site.log.access), ("log.error", site.log.error)):
        try:
            check_target(target)
        except LogTargetError as error:
            yield f"{key}: {error}"
    tries: list[tuple[str, str | None, Callable[[Path], None]]] = [("pidfile", site.pidfile, try_writing)]
    for key, addresses in (
        ("bind", site.bind),
        ("health.bind", site.health.bind),
        ("admin.bind", site.admin.bind),
    ):
        tries += [(key, each.path, _try_socket) for each in addresses if isinstance(each, UnixAddress)]
    tries += [("control", site.control if site.control != OFF else None, _try_socket)]
    for key, name, attempt in tries:
        if name is not None:
            try:
                attempt(Path(name))
            except OSError as error:
                yield f"{key}: {name}: {write_error(Path(name), error)}"


def _try_socket(path: Path) -> None:
    """It may be there: the site may run."""
    try_making(path.parent)
