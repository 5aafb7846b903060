"""Children that the application forks, in a mold or a worker: by os.fork, multiprocessing, a double fork.

Such a child has a copy of all that is ours. Before any of the application's code runs in it, its signals are
put back to what they were before us and our descriptors are closed, so that nothing that it does, or that is
done to it, reaches us. If it returns from the application into our code, it ends. Programs that are executed
need none of this: execve(2) resets handlers, and every descriptor of ours is close-on-exec.

Runs in the thread that forks (os.register_at_fork); signals are blocked there from before the fork until all
is done.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NoReturn

from setproctitle import getproctitle, setproctitle

from superwsgi.log.error import ErrorLog
from superwsgi.system import lineage, procfs, signals

CAME_BACK: Final = 1
"""Exit code of a child that has returned from the application, or raised what nobody has caught."""

_TITLE: Final = "superwsgi: "

_PATIENCE: Final = 100
"""Milliseconds that whoever reads what was printed is given."""


class _Process:
    """What a child of this process has to drop: nothing before `begin`, or in such a child itself."""

    def __init__(self) -> None:
        self.watched = False  # the interpreter calls us
        self.errors: ErrorLog | None = None
        self.releases: list[Callable[[], object]] = []
        self.forking: int | None = None  # the thread that forks one of us
        self.masks: dict[int, set[int]] = {}  # before a fork, by the thread that forks


_here: Final = _Process()


def begin(errors: ErrorLog) -> None:
    """Be a process of ours that application code runs in; `errors` is its log. Releases that were meant for
    the process that it was forked from are forgotten."""
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
    """fork(2) for a process of ours, which keeps what is ours. Without Python's warning about other threads:
    the hazards have been looked for, or the operator has chosen."""
    _here.forking = threading.get_ident()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return os.fork()
    finally:
        _here.forking = None


def run_in_child(work: Callable[[], int]) -> int | None:
    """Do `work` in a child of ours, and wait for its end.

    Returns its exit code, which is what `work` returns, or None where that is not known: a signal has killed
    it, or the application ignores SIGCHLD. The application's own handler for SIGCHLD, which would look for a
    child of the application's, is not called. Raises OSError where no child can be made.
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
    """Where the application ignores SIGCHLD, or has a handler that collects every child, the kernel has
    nothing left to tell (waitpid(2), ECHILD), but by then the child has ended just the same."""
    try:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return None
    return code if code >= 0 else None


def disown_children() -> None:
    """In a worker: have multiprocessing forget what the import has started. The mold is its parent, and the
    first worker to end would end it for all."""
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None:
        processes._children.clear()


def flush_output() -> None:
    """What was printed belongs to this process: a fork would print it again, os._exit never. Where nobody
    reads it, it is not waited for."""
    for stream in (sys.stdout, sys.stderr):
        flush(stream)


def flush(stream: Any) -> None:
    """Have a file of Python's write what it has in memory, unless nobody reads it."""
    with contextlib.suppress(Exception):  # None where closed; whatever the application has put there
        if _is_read(stream):
            stream.flush()


def _is_read(stream: Any) -> bool:
    """Whether its pipe, socket or terminal takes something; true of what is none."""
    watched = select.poll()
    try:
        watched.register(stream.fileno(), select.POLLOUT)
    except OSError:  # of the application's, in memory
        return True
    return bool(watched.poll(_PATIENCE))


@contextlib.contextmanager
def staying() -> Iterator[None]:
    """Around a call of the application: a child that it forks there ends where the call does."""
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
    """End this child of the application's, which has returned to our code or has raised `error`: from here on
    only its parent may go on."""
    if isinstance(error, SystemExit):
        flush_output()
        os._exit(_exit_code(error))
    if _here.errors is not None:
        _tell(_here.errors.bind(child=os.getpid()), error)
    os._exit(CAME_BACK)  # what was printed may be its parent's, and a lock of it held for ever


def _tell(log: ErrorLog, error: BaseException | None) -> None:
    then = "ended; end a child by os._exit, or use multiprocessing.Process"
    if error is None:
        log.error("forked child came back", reason="it returned from the application", next=then)
    else:
        log.exception("forked child came back", error, next=then)


def close_sockets_at(addresses: Iterable[object]) -> None:
    """Close every socket of this process that listens at one of these addresses (`address_of` a listener) or
    was accepted there: some of them are known only to threads that are not here any more."""
    wanted = {*addresses}
    for fd in procfs.descriptors():
        with contextlib.suppress(OSError):
            sock = socket.socket(fileno=fd)
            if address_of(sock) in wanted:
                sock.close()
            else:
                sock.detach()


def address_of(sock: socket.socket) -> object:
    """What the sockets that a listener accepts have in common with it: the port, or the path."""
    name = sock.getsockname()
    return name[1] if sock.family in (socket.AF_INET, socket.AF_INET6) else name


# Around a fork.


def _block() -> None:
    if _here.releases:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        _here.masks[threading.get_ident()] = set(mask)


def _unblock() -> None:
    mask = _here.masks.pop(threading.get_ident(), None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _begin_child() -> None:
    if _here.forking != threading.get_ident():
        _release()
    _unblock()


def _release() -> None:
    releases, _here.releases = _here.releases, []
    for release in releases:
        with contextlib.suppress(Exception):  # the others have to go nevertheless
            release()
    if releases:
        signals.give_back()
        _rename()


def _rename() -> None:
    """For `ps`, which should not show it as a worker; unless the application has chosen another title."""
    title, mark = getproctitle(), lineage.carried()
    if title.startswith(_TITLE) and mark is not None:
        setproctitle(lineage.TITLE.format(owner=mark.owner) + title.removeprefix(_TITLE))


def _exit_code(error: SystemExit) -> int:
    """What the interpreter would make of it (sys.exit)."""
    if error.code is None:
        return 0
    return error.code & 0xFF if isinstance(error.code, int) else 1
