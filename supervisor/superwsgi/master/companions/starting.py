"""Starting a companion: in the release of the generation that serves, with the site's user and environment,
as the command in `rollout.before`; without a shell in between, so that its signals reach the program itself.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Final

from superwsgi.config.parts.companions import CompanionSettings
from superwsgi.config.schema import Site
from superwsgi.master.companions import kin
from superwsgi.master.companions.companion import Companion, CompanionProcess, limits_of
from superwsgi.master.eventloop import EventLoop
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.pipes import Output
from superwsgi.master.processes.launch import Execution, environ_of_commands, spawn
from superwsgi.master.release import Release
from superwsgi.system import orphan, privileges
from superwsgi.system.privileges import PrivilegeError, identity

_STDOUT: Final = 1
_STDERR: Final = 2

_FIRST_LINE: Final = "its first line names a program that is not there"


class NotStarted(Exception):
    """It could not be; the text says why, and `more` what the log has beside it."""

    def __init__(self, reason: str, **more: object) -> None:
        super().__init__(reason)
        self.more = more


def start(
    companion: Companion, settings: CompanionSettings, of: Generation, loop: EventLoop, now: float
) -> CompanionProcess:
    """Raises NotStarted."""
    output = None
    try:
        output = _captured(of.site, loop)
        pid = _spawn(companion, settings, of, output)
    except (OSError, PrivilegeError) as error:
        if output is not None:
            output.discard()
        raise _not_started(error, settings, of) from None
    patience = patience_of(settings, of.site)
    return CompanionProcess(pid, of.number, now, settings, patience, limits_of(settings), output)


def patience_of(settings: CompanionSettings, site: Site) -> float:
    """Seconds that it may take to end."""
    return site.timeouts.graceful if settings.graceful is None else settings.graceful


def _captured(site: Site, loop: EventLoop) -> Output | None:
    """Where its output goes with `log.capture`. Its user may open /dev/stderr. Raises OSError,
    PrivilegeError."""
    if not site.log.capture:
        return None
    who = identity(site.user, site.group)
    output = Output(loop)
    if who is not None and os.geteuid() == 0:
        os.fchown(output.ends[1], who.uid, who.gid)
    return output


def _spawn(companion: Companion, settings: CompanionSettings, of: Generation, output: Output | None) -> int:
    """Raises OSError, PrivilegeError."""
    site = of.site
    out, err = (_STDOUT, _STDERR) if output is None else (output.ends[1], output.ends[1])
    environ = {**environ_of_commands(site, of.release), **companion.marked()}
    environ.update(kin.marks_of_site(site.name))
    become = partial(_become, site, os.getpid(), signal.Signals[f"SIG{settings.signal}"])
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        files = {0: nothing, 1: out, 2: err}
        words = shlex.split(settings.command)
        return spawn(Execution(words, environ, become, files, site.chdir, session=True))
    finally:
        os.close(nothing)


def _become(site: Site, master: int, number: int) -> None:
    """The rights first: to take them undoes the other."""
    privileges.drop(site.user, site.group, site.umask)
    orphan.end_with(master, number)


def missing(settings: CompanionSettings, site: Site, release: Release) -> str:
    """What a command names that is not there, as far as one sees that without executing it; or empty."""
    program = shlex.split(settings.command)[0]
    if "/" in program:
        return _cannot_be_executed(program, Path(site.chdir, program))
    path = environ_of_commands(site, release)["PATH"]
    return "" if shutil.which(program, path=path) else f"{program!r} is not found in PATH ({path})"


def _cannot_be_executed(program: str, path: Path) -> str:
    if not os.access(path, os.F_OK):  # or is in a folder that is closed to this user
        return f"{program}: {os.strerror(errno.ENOENT)}"
    if path.is_dir() or not os.access(path, os.X_OK):
        return f"{program}: {os.strerror(errno.EACCES)}, it is no file that may be executed (chmod +x)"
    return ""


def _not_started(error: OSError | PrivilegeError, settings: CompanionSettings, of: Generation) -> NotStarted:
    if not isinstance(error, OSError):
        return NotStarted(str(error))
    program = shlex.split(settings.command)[0]
    if error.errno == errno.ENOENT and error.filename not in (of.site.chdir, program):
        path = environ_of_commands(of.site, of.release)["PATH"]
        found = shutil.which(program, path=path)
        if found is None:
            return NotStarted(f"{program!r} is not found in PATH", path=path)
        return NotStarted(f"{found}: {_FIRST_LINE}")
    if error.errno == errno.ENOENT and error.filename == program and Path(of.site.chdir, program).exists():
        return NotStarted(f"{program}: {_FIRST_LINE}")
    script = "; a script begins with a line such as #!/bin/sh" if error.errno == errno.ENOEXEC else ""
    return NotStarted(f"{error.filename or program}: {error.strerror}{script}")
