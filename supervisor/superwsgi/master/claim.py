"""A control socket in one of the usual places, beside other masters that look for theirs there.

A place that another master has is left to it, and the next one has a number. To look and to bind is done
under a lock, for between bind(2) and listen(2) a socket looks like one that a dead master has left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from superwsgi.config.addresses import SOCKET_PATH_BYTES
from superwsgi.master import private
from superwsgi.master.binding import BindError, InUse, bind_private
from superwsgi.master.listener import Listener
from superwsgi.master.runtime import Place, places

_MOST: Final = 64
"""Sites of one name."""
_PATIENCE: Final = 2.0
"""Seconds to wait for another master, which holds the lock for a few system calls."""
_PAUSE: Final = 0.01


class Claim(NamedTuple):
    """A socket; and the one that belongs to another site of the same name, where there is one."""

    listener: Listener
    other: Path | None


def claim(name: str, environ: Mapping[str, str], backlog: int) -> Claim:
    """The best place that can be had. Raises BindError with what is wrong with each."""
    reasons = []
    for place in places(name, environ):
        try:
            _make(place)
            with _alone_in(place.folder):
                return _first_free(place, backlog)
        except OSError as error:
            reasons.append(f"cannot use {place.folder}: {error.strerror}")
        except (BindError, private.NotPrivate) as error:
            reasons.append(str(error))
    raise BindError("; ".join(reasons))


def _make(place: Place) -> None:
    if place.private:
        private.make(place.folder)
    else:
        place.folder.mkdir(mode=0o755, exist_ok=True)


def _first_free(place: Place, backlog: int) -> Claim:
    for number in range(1, _MOST + 1):
        path = place.path(number)
        length = len(os.fsencode(path))
        if length > SOCKET_PATH_BYTES:
            raise BindError(f"{path} has {length} bytes, the path of a socket at most {SOCKET_PATH_BYTES}")
        with contextlib.suppress(InUse):
            return Claim(bind_private(str(path), backlog), None if number == 1 else place.path())
    raise BindError(f"{_MOST} sites have sockets such as {place.path()} already")


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Raises OSError, or BindError where somebody else stays for too long."""
    path = folder / ".lock"
    lock = _lock(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # whoever waits for it makes a new one
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
    """flock(2), of the file that is there: not of one that its holder has just removed."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(lock), path.lstat())
    except (BlockingIOError, FileNotFoundError):
        return False
