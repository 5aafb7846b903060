"""Binding a control socket by the site's name, beside other masters that do the same.

A name that another master has taken is left to it, and the next one gets a number. Looking and binding happen
under a lock: between bind(2) and listen(2) a socket looks like one left by a dead master.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from superwsgi.config.grammar.addresses import SOCKET_PATH_BYTES
from superwsgi.master.control.paths import Folder, folders
from superwsgi.master.sockets.listener import BindError, InUse, Listener, bind_private
from superwsgi.system.unsafe_paths import NotPrivate, make_private

_MOST: Final = 64
"""Maximum number of sites with one name."""
_PATIENCE: Final = 2.0
"""Seconds to wait for another master, which holds the lock only for a few system calls."""
_PAUSE: Final = 0.01


class Bound(NamedTuple):
    """A socket, and that of another site of the same name, if there is one."""

    listener: Listener
    other: Path | None


def bind(name: str, environ: Mapping[str, str], backlog: int) -> Bound:
    """Bind in the best usable folder. Raises BindError that says what is wrong with each."""
    reasons = []
    for folder in folders(name, environ):
        try:
            _make(folder)
            with _alone_in(folder.path):
                return _first_free(folder, backlog)
        except OSError as error:
            reasons.append(f"cannot use {folder.path}: {error.strerror}")
        except (BindError, NotPrivate) as error:
            reasons.append(str(error))
    raise BindError("; ".join(reasons))


def _make(folder: Folder) -> None:
    if folder.private:
        make_private(folder.path)
    else:
        folder.path.mkdir(mode=0o755, exist_ok=True)


def _first_free(folder: Folder, backlog: int) -> Bound:
    for number in range(1, _MOST + 1):
        path = folder.socket(number)
        length = len(os.fsencode(path))
        if length > SOCKET_PATH_BYTES:
            raise BindError(
                f"{path} has {length} bytes, but the path of a socket has at most {SOCKET_PATH_BYTES}"
            )
        with contextlib.suppress(InUse):
            return Bound(bind_private(str(path), backlog), None if number == 1 else folder.socket())
    raise BindError(f"{_MOST} sites already have sockets like {folder.socket()}")


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Raises OSError, or BindError if somebody else keeps the lock for too long."""
    path = folder / ".lock"
    lock = _lock(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # a master that waits for it makes a new one
        os.close(lock)


def _lock(path: Path) -> int:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if _has_locked(lock, path):
            return lock
        os.close(lock)
        time.sleep(_PAUSE)
    raise BindError(f"another process has held {path} for {_PATIENCE:g}s")


def _has_locked(lock: int, path: Path) -> bool:
    """flock(2); False if the file's holder has just removed it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(lock), path.lstat())
    except (BlockingIOError, FileNotFoundError):
        return False
