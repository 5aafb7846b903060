"""Children that the application forks, in a mold or a worker: with os.fork, multiprocessing, a double fork.

Such a child has a copy of everything of ours. Before any of the application's code runs in it, its signals
are restored to what they were before us and our descriptors are closed, so that nothing that it does, or that
is done to it, affects us. If it returns from the application into our code, it ends. Executed programs need
none of this: execve(2) resets handlers, and all our descriptors are close-on-exec.

Runs in the thread that forks (os.register_at_fork), with signals blocked from before the fork until all is
done.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NoReturn

from setproctitle import getproctitle, setproctitle

from superwsgi import unpatched
from superwsgi.log.error import ErrorLog
from superwsgi.system import lineage, procfs, signals

CAME_BACK: Final = 1
"""Exit code of a child that returned from the application, or raised an exception that nobody caught."""

_TITLE: Final = "superwsgi: "

_PATIENCE: Final = 100
"""Milliseconds that the reader of printed output is given."""


class _Process:
    """What a child of this process has to drop: nothing before `begin`, nor in such a child itself."""

    def __init__(self) -> None:
        self.watched = False  # whether the interpreter calls us at forks
        self.errors: ErrorLog | None = None
        self.releases: list[Callable[[], object]] = []
        self.forking: int | None = None  # the thread that forks a process of ours
        self.masks: dict[int, set[int]] = {}  # signal masks before a fork, by the forking thread


_here: Final = _Process()


class Returned:
    """Replaces the connection in a forked child: only its parent may answer."""

    def send(self, data: bytes | memoryview, /) -> int:
        came_back()


def begin(errors: ErrorLog) -> None:
    """Become a process of ours that runs application code; `errors` is its log. Forgets the releases that
    were registered in the process that it was forked from."""
    log_to(errors)
    _here.releases = []
    if not _here.watched:
        _here.watched = True
        os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_begin_child)


def log_to(errors: ErrorLog) -> None:
    _here.errors = errors


def on_child(release: Callable[[], object]) -> None:
    """Have `release` called in every child that the application forks; it must not wait for any lock."""
    _here.releases.append(release)


def fork() -> int:
    """fork(2) for a process of ours, which keeps everything of ours. Without Python's warning about other
    threads: hazards have been looked for, or the operator has decided."""
    _here.forking = unpatched.get_ident()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return unpatched.fork()
    finally:
        _here.forking = None


def run_in_child(work: Callable[[], int]) -> int | None:
    """Do `work` in a child of ours, and wait for its end.

    Returns its exit code, which is what `work` returns, or None if that is not known: it was killed by a
    signal, or the application ignores SIGCHLD. The application's own SIGCHLD handler, which would expect a
    child of the application, is not called. Raises OSError if no child can be made.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    try:
        child = fork()
        if child == 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            _work_and_end(work)
        code = _wait_for(child)
        if callable(signal.getsignal(signal.SIGCHLD)):
            signal.sigtimedwait([signal.SIGCHLD], 0)
        return code
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work_and_end(work: Callable[[], int]) -> NoReturn:
    code = errno.EAGAIN
    try:
        code = work()
    finally:
        os._exit(code)


def _wait_for(pid: int) -> int | None:
    """If the application ignores SIGCHLD, or has a handler that reaps every child, the kernel has nothing
    left to report (waitpid(2), ECHILD), but the child has ended by then all the same."""
    try:
        code = os.waitstatus_to_exitcode(unpatched.waitpid(pid, 0)[1])
    except ChildProcessError:
        return None
    return code if code >= 0 else None


def disown_children() -> None:
    """In a worker: make multiprocessing forget the children that the import started. The mold is their
    parent, and the first worker to end would end them for all."""
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None:
        processes._children.clear()


def flush_output() -> None:
    """Printed output belongs to this process: a fork would print it again, os._exit would lose it. Does not
    wait if nobody reads it."""
    for stream in (sys.stdout, sys.stderr):
        flush(stream)


def flush(stream: Any) -> None:
    """Make a Python file object write its buffer, unless nobody reads it."""
    with contextlib.suppress(Exception):  # None if closed; or anything that the application put there
        if _is_read(stream):
            stream.flush()


def _is_read(stream: Any) -> bool:
    """Whether its pipe, socket or terminal accepts data; True for anything else."""
    watched = unpatched.poll()
    try:
        watched.register(stream.fileno(), select.POLLOUT)
    except OSError:  # an in-memory file of the application
        return True
    return bool(watched.poll(_PATIENCE))


@contextlib.contextmanager
def staying() -> Iterator[None]:
    """Around a call of the application: a child that it forks there ends where the call returns."""
    here = os.getpid()
    error: BaseException | None = None
    try:
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        if os.getpid() != here:
            came_back(error)


def came_back(error: BaseException | None = None) -> NoReturn:
    """End this child of the application, which has returned to our code or has raised `error`: only its
    parent may go on from here."""
    if isinstance(error, SystemExit):
        flush_output()
        os._exit(_exit_code(error))
    if _here.errors is not None:
        _tell(_here.errors.bind(child=os.getpid()), error)
    os._exit(CAME_BACK)  # without a flush: buffers may be its parent's, and their locks held forever


def _tell(log: ErrorLog, error: BaseException | None) -> None:
    then = "ended; end a child by os._exit, or use multiprocessing.Process"
    if error is None:
        log.error("forked child came back", reason="it returned from the application", next=then)
    else:
        log.exception("forked child came back", error, next=then)


def close_sockets_at(addresses: Iterable[object]) -> None:
    """Close every socket of this process that listens at one of these addresses (`address_of` a listener) or
    was accepted there: some of them were known only to threads that no longer exist."""
    wanted = {*addresses}
    for fd in procfs.descriptors():
        with contextlib.suppress(OSError):
            sock = unpatched.Socket(fileno=fd)
            if address_of(sock) in wanted:
                sock.close()
            else:
                sock.detach()


def address_of(sock: socket.socket) -> object:
    """What a listener has in common with the sockets that it accepts: the port, or the path."""
    name = sock.getsockname()
    return name[1] if sock.family in (socket.AF_INET, socket.AF_INET6) else name


# Around a fork.


def _block() -> None:
    if _here.releases:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        _here.masks[unpatched.get_ident()] = set(mask)


def _unblock() -> None:
    mask = _here.masks.pop(unpatched.get_ident(), None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _begin_child() -> None:
    if _here.forking != unpatched.get_ident():
        _release()
    _unblock()


def _release() -> None:
    releases, _here.releases = _here.releases, []
    for release in releases:
        with contextlib.suppress(Exception):  # the others have to be released anyway
            release()
    if releases:
        signals.give_back()
        _rename()


def _rename() -> None:
    """Change the title, lest `ps` show it as a worker; unless the application chose another title."""
    title, mark = getproctitle(), lineage.carried()
    if title.startswith(_TITLE) and mark is not None:
        setproctitle(lineage.TITLE.format(owner=mark.owner) + title.removeprefix(_TITLE))


def _exit_code(error: SystemExit) -> int:
    """The exit code that the interpreter would derive from it (sys.exit)."""
    if error.code is None:
        return 0
    return error.code & 0xFF if isinstance(error.code, int) else 1
