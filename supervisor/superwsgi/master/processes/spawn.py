"""Executing a program below the master, as the user that it is meant for: none of its code runs before the
rights of root are gone, and verified to be gone.

A file that this user may write can be part of any program: the interpreter of a virtual environment, a file
named by PYTHONPATH or LD_PRELOAD, a `sitecustomize`. So root executes none of it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

import msgspec

from superwsgi.system.privileges import PrivilegeError
from superwsgi.worker import forks

_NOT_EXECUTED: Final = 127
_RESETTABLE: Final = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


@dataclass(frozen=True, slots=True)
class Execution:
    """What to execute, and how: `become` takes the user's rights, then `folder` is entered. `files` are
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
        os.execve(program.arguments[0], [*program.arguments], program.environ)
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
