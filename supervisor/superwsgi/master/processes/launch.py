"""Starting programs below the master: molds and the admin process, which are freshly executed interpreters,
and others.

A mold is a new program, so a deploy may replace any package, even those that superwsgi itself uses. Nothing
of that program is imported here: a worker's loop would take 2 MB of the master's memory.

A program runs as the user that it is meant for: none of its code runs before the rights of root are gone, and
verified to be gone. A file that this user may write can be part of any program: the interpreter of a virtual
environment, a file named by PYTHONPATH or LD_PRELOAD, a `sitecustomize`. So root executes none of it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import stat
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from superwsgi.channel import CHANNEL_FD, Channel
from superwsgi.config.errors import ConfigError
from superwsgi.config.schema import Site
from superwsgi.config.sections import AdminSettings
from superwsgi.master.processes.handles import MoldHandle
from superwsgi.master.release import Release
from superwsgi.messages import Boot
from superwsgi.system.privileges import Identity, PrivilegeError, account, becomes_another, drop, log_in
from superwsgi.worker import forks

_SAFE = "PYTHONSAFEPATH"
_SEARCH = "PYTHONPATH"
_MODULE = "MODULE"
_FORGET = f"import os; os.environ.pop({_SAFE!r}, None)\n"
# No garbage is looked for during imports, as in cli/imports.py; which release has that is not known here.
_PROGRAM = """\
import gc, sys
if sys.path[:1] == ['']: del sys.path[0]
gc.disable()
from MODULE import main
gc.enable()
main()
"""
_AS_ROOT = """\
import gc, os, site, sys
def is_roots(folder):
    status = os.stat(folder)
    writable = status.st_mode & 0o022 and not status.st_mode & 0o1000
    return status.st_uid == 0 and not writable and (folder == '/' or is_roots(os.path.dirname(folder)))
site.addsitepackages(site.venv(site.removeduppaths()))
folders = [os.path.realpath(folder) for folder in sys.path if os.path.exists(folder)]
sys.path[:] = filter(is_roots, folders)
gc.disable()
from MODULE import main
gc.enable()
main()
"""
"""For -I and -S: additions by the environment, `sitecustomize` and links from .pth files into other users'
folders follow once the rights of root are gone (worker/boot/loading/application.py)."""

_MOLD: Final = "superwsgi.worker.boot.mold"
_ADMIN: Final = "superwsgi.admin.process"

_PLAIN: Final = frozenset(
    {"HOME", "JOURNAL_STREAM", "LANG", "PATH", "PYTHONDONTWRITEBYTECODE", _SEARCH, "TZ", "VIRTUAL_ENV"}
)
"""Variables that the admin process gets: any other may hold a secret."""

Launch = Callable[[Site, Release, socket.socket, Iterable[int]], int]
"""(site, its release, the mold's end of its channel, descriptors that only the master may hold) -> process
id."""

_NOT_EXECUTED: Final = 127
_RESETTABLE: Final = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


def launch_mold(
    launch: Callable[[socket.socket, Iterable[int]], int],
    boot: Boot,
    files: Sequence[int],
    private: list[int],
) -> MoldHandle:
    """Launch a mold whose first message is `boot`, with these files; `private` are the descriptors that only
    the master may hold. Raises OSError, PrivilegeError."""
    boot = msgspec.structs.replace(boot, site=without_admin(boot.site))
    channel, theirs = Channel.pair()
    try:
        # Sent first: a process that ends at once is then noticed by its exit, not by a failing send.
        channel.send(boot, files)
        return MoldHandle(launch(theirs, [*private, channel.fileno()]), channel)
    except BaseException:
        channel.close()
        raise
    finally:
        theirs.close()


def without_admin(site: Site) -> Site:
    """The site as its processes are told of it: application code is not to find the token."""
    return msgspec.structs.replace(site, admin=AdminSettings())


def execute(site: Site, release: Release, theirs: socket.socket, _private: Iterable[int]) -> int:
    """A mold that is a fresh interpreter, executed as the site's user; everything private is close-on-exec.
    Raises OSError, PrivilegeError.

    If only root may execute the interpreter (in root's home, for example) and nobody else can have changed
    it, it is executed by root, isolated, and becomes that user a moment later: see worker/boot/mold.py.
    """
    try:
        program = ordinary(release.python, environ_of(site, release), _MOLD)
        return _spawn(program, theirs, partial(drop, site.user, site.group, site.umask))
    except PermissionError as error:
        if not becomes_another(site.user, site.group):
            raise
        _require_roots(release.python, site.user, error)
    return _spawn(_isolated(release.python, os.environ, _MOLD), theirs, lambda: None)


def execute_admin(python: str, user: str | None, theirs: socket.socket) -> int:
    """The admin process, likewise, as `user` if there is one: in the root folder, with none of the site's
    variables. Raises OSError, PrivilegeError."""
    environ = {name: value for name, value in os.environ.items() if name in _PLAIN or name.startswith("LC_")}
    if _SEARCH in environ:
        environ[_SEARCH] = os.pathsep.join(map(os.path.abspath, environ[_SEARCH].split(os.pathsep)))
    become = partial(drop, user, None, None)
    try:
        if user is None or _can_read(account(user), Path(__file__)):
            return _spawn(ordinary(python, environ, _ADMIN), theirs, become, folder="/")
        denied = PermissionError(errno.EACCES, f"{Path(__file__).parents[2]}: {os.strerror(errno.EACCES)}")
    except PermissionError as error:
        if user is None:
            raise
        denied = error
    _require_roots(python, user, denied)
    return _spawn(_isolated(python, environ, _ADMIN), theirs, lambda: None, folder="/")


def _can_read(who: Identity, file: Path) -> bool:
    """Whether that user may enter the folders above a file, and read it, by their permission bits."""

    def allows(path: Path, bit: int) -> bool:
        status = path.stat()
        if status.st_uid == who.uid:
            return bool(status.st_mode & bit << 6)
        return bool(status.st_mode & (bit << 3 if status.st_gid in who.groups() else bit))

    return all(allows(folder, stat.S_IXOTH) for folder in file.parents) and allows(file, stat.S_IROTH)


def _require_roots(python: str, user: str | None, error: PermissionError) -> None:
    """Raises PermissionError, with advice, if somebody but root can have changed the interpreter."""
    if not _is_roots(Path(python)):
        advice = f"user {user!r} must be able to read and execute it, and to enter the folders above"
        raise PermissionError(error.errno, f"{error.strerror}; {advice}") from None


def environ_of(site: Site, release: Release) -> dict[str, str]:
    """The environment of a release's programs, with the variables of their user."""
    environ = release.environ(site)
    log_in(site.user, environ, site.env)
    return environ


def environ_of_commands(site: Site, release: Release) -> dict[str, str]:
    """The same for commands of the site file, with the interpreter's folder first in the PATH: `python` is
    the site's."""
    environ = environ_of(site, release)
    folder = str(Path(release.python).parent)
    return {**environ, "PATH": os.pathsep.join([folder, environ.get("PATH", os.defpath)])}


def why(error: OSError | PrivilegeError | ConfigError) -> str:
    """Why a program could not be executed."""
    return error.strerror or "" if isinstance(error, OSError) else str(error)


def ordinary(python: str, environ: Mapping[str, str], module: str) -> tuple[list[str], Mapping[str, str]]:
    """Its arguments and environment. It must not look for modules in the working folder: that may have been
    removed with an old release, and then Python 3.13 fails at the first missing attribute of any module.
    Versions before 3.11 do not know the variable, and need it less.
    """
    program = _PROGRAM if _SAFE in environ else _FORGET + _PROGRAM
    # The last one: setproctitle looks for the arguments before the first.
    return [python, "-c", program.replace(_MODULE, module)], {**environ, _SAFE: "1"}


def _isolated(python: str, environ: Mapping[str, str], module: str) -> tuple[list[str], Mapping[str, str]]:
    return [python, "-I", "-S", "-c", _AS_ROOT.replace(_MODULE, module)], environ


def _spawn(
    program: tuple[list[str], Mapping[str, str]],
    theirs: socket.socket,
    become: Callable[[], None],
    folder: str | None = None,
) -> int:
    arguments, environ = program
    until_it_writes_stacks = [signal.SIGUSR2]
    files = {CHANNEL_FD: theirs.fileno()}
    try:
        return spawn(Execution(arguments, environ, become, files, folder, blocked=until_it_writes_stacks))
    except OSError as error:
        raise OSError(error.errno, f"{arguments[0]}: {error.strerror}") from None


def _is_roots(path: Path) -> bool:
    """Whether only root can change what a path leads to."""
    for step in (*reversed(path.parents), path):
        try:
            status = step.lstat()
        except OSError:
            return False
        if stat.S_ISLNK(status.st_mode) and status.st_uid == 0:
            return _is_roots(step.parent / step.readlink() / path.relative_to(step))
        sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        if status.st_uid != 0 or (status.st_mode & 0o022 and not sticky):
            return False
    return True


# Executing any program.


@dataclass(frozen=True, slots=True)
class Execution:
    """What to execute, and how: the first of the `arguments` is looked for in the PATH of `environ` unless it
    is a path; `become` takes the user's rights, then `folder` is entered. `files` are
    descriptors, by their number in the program, which has no others. Signals have their default actions, and
    some are `blocked`. In a `session` of its own no terminal reaches it."""

    arguments: Sequence[str]
    environ: Mapping[str, str]
    become: Callable[[], None]
    files: Mapping[int, int]
    folder: str | None = None
    session: bool = False
    blocked: Iterable[int] = ()


def spawn(program: Execution) -> int:
    """Its process id, once it has been executed. Raises PrivilegeError, or OSError, whose `filename` may name
    the file."""
    hearing, telling = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _RESETTABLE)
    try:
        pid = forks.fork()
        if pid == 0:
            _be(program, telling)
    except OSError:
        os.close(hearing)
        raise
    finally:
        os.close(telling)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    with open(hearing, "rb") as said:
        failure = said.read()  # ends with execve(2): the other end is close-on-exec
    if failure:
        os.waitpid(pid, 0)
        raise _failed(failure)
    return pid


def _be(program: Execution, telling: int) -> NoReturn:
    """In the child: become the program, or report why not."""
    try:
        telling = _place(program.files, telling)
        for number in _RESETTABLE:
            signal.signal(number, signal.SIG_DFL)
        if program.session:
            os.setsid()
        program.become()
        if program.folder is not None:
            os.chdir(program.folder)
        signal.pthread_sigmask(signal.SIG_SETMASK, program.blocked)
        os.execvpe(program.arguments[0], [*program.arguments], program.environ)
    except OSError as error:
        os.write(telling, msgspec.json.encode((error.errno, error.strerror, error.filename)))
    except PrivilegeError as error:
        os.write(telling, msgspec.json.encode((0, str(error), None)))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(_NOT_EXECUTED)


def _place(files: Mapping[int, int], telling: int) -> int:
    """Give the files their numbers, replacing what has them now; returns the new number of `telling`."""
    beyond = max(files, default=0) + 1
    telling = fcntl.fcntl(telling, fcntl.F_DUPFD_CLOEXEC, beyond)
    copies = {number: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, beyond) for number, fd in files.items()}
    for number, copy in copies.items():
        os.dup2(copy, number)
    return telling


def _failed(failure: bytes) -> Exception:
    number, reason, file = msgspec.json.decode(failure, type=tuple[int, str, str | None])
    return OSError(number, reason, file) if number else PrivilegeError(reason)
