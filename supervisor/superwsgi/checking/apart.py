"""Loading the application of a site in a process of its own, which serves nobody and ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Final

import msgspec

from superwsgi.board.scoreboard import Scoreboard
from superwsgi.channel import Channel, Closed, Forged
from superwsgi.checking.surroundings import known_user, usable_static
from superwsgi.config.schema import Site
from superwsgi.config.sections import TlsSettings
from superwsgi.log.spelling import duration, ending
from superwsgi.master.processes import hearing, launch
from superwsgi.master.release import Origin, Release
from superwsgi.messages import Boot, LoadFailed, Tried, WentWrong
from superwsgi.metrics.folder import MetricsFolder, elsewhere, told
from superwsgi.system.privileges import PrivilegeError

_STDERR: Final = 2
_PAUSE: Final = 0.01
_TO_WRITE: Final = 0.5
"""Seconds that a mold gets to write its stacks."""

Tell = Callable[[WentWrong], object]


def load_apart(site: Site, tell: Tell = lambda _: None) -> Tried | LoadFailed:
    """Load it in a mold that forks no worker and is thrown away; `tell` is called with what goes wrong
    there on the way. Certificates and unknown users are left out: others have looked at them."""
    with _metrics_aside(_loadable(site)) as told_of:
        return _load_apart(told_of, tell)


def _loadable(site: Site) -> Site:
    quiet = msgspec.structs.replace(site.log, level="warning", capture=False)
    site = msgspec.structs.replace(launch.without_admin(site), tls=TlsSettings(), log=quiet)
    return known_user(usable_static(site))


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


def _load_apart(site: Site, tell: Tell) -> Tried | LoadFailed:
    release = Release.of(site, Origin.of_process(site.chdir), os.environ)
    site = release.pinned(site)
    channel, theirs = Channel.pair()
    threads, paths, upgraded = site.most_threads + 1, site.metrics.paths, site.limits.upgraded
    with closing(channel), closing(Scoreboard.create(1, threads, paths, upgraded)) as board:
        try:
            with theirs:
                pid = launch.execute(site, release, theirs, ())
        except (OSError, PrivilegeError) as error:
            return LoadFailed(f"cannot start a mold: {launch.why(error)}")
        channel.set_timeout(site.timeouts.boot)
        boot = Boot(os.getpid(), 1, site, error_log=True, access_log=False, links=release.links, try_out=True)
        boot = msgspec.structs.replace(boot, search_path=release.search_path)
        channel.send(boot, [board.fd, _STDERR])
        outcome = _outcome(pid, channel, site, tell)
    _let_end(pid, site.timeouts.graceful)
    return outcome


def _outcome(pid: int, channel: Channel, site: Site, tell: Tell) -> Tried | LoadFailed:
    try:
        return _heard(pid, channel, tell)
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


def _heard(pid: int, channel: Channel, tell: Tell) -> Tried | LoadFailed:
    """Raises Forged, TimeoutError, Closed."""
    while True:
        message, sender = channel.hear()
        hearing.after(hearing.TRIED_OUT, hearing.Said.NOTHING, message, sender=sender, of=pid)
        if isinstance(message, Tried | LoadFailed):
            return message
        assert isinstance(message, WentWrong)
        tell(message)


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
