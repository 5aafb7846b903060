"""Molds that are started before they are needed: interpreters that have imported the server, and wait for the
word to import the application (inside/waiting.py). That is the larger part of what the reload of a small
application takes. With it an edit of a Flask hello is served after 190 ms: 30 until it is seen, 20 for HUP
and the mold, 115 for the import (Python 3.13, two cores), 20 to take over; Python alone imports it in 200.

One that waits has the environment that it was started with; if another is called for, it is given up.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from superwsgi.config.schema import Site
from superwsgi.development.inside.waiting import HELD, MASTER_FD
from superwsgi.master.processes.launch import Execution, environ_of, ordinary, spawn
from superwsgi.master.release import Release

_PROGRAM: Final = "superwsgi.development.inside.waiting"


class Ahead:
    """A way to launch molds for a master, as launch.execute is one."""

    def __init__(self) -> None:
        self._next: _Waiting | None = None

    def __call__(self, site: Site, release: Release, theirs: socket.socket, _private: Iterable[int]) -> int:
        """Raises OSError."""
        waiting, self._next = self._next, None
        pid = waiting.become(site, release, theirs) if waiting is not None else None
        if pid is None:
            pid = _Waiting.start(site, release).become(site, release, theirs)
            assert pid is not None, "it is for this very release"
        with contextlib.suppress(OSError):  # then the next one comes later
            self._next = _Waiting.start(site, release)
        return pid


@dataclass(frozen=True)
class _Waiting:
    """A process, our end of its socket pair, and what it was started with."""

    pid: int
    ours: socket.socket
    python: str
    environ: Mapping[str, str]

    @classmethod
    def start(cls, site: Site, release: Release) -> _Waiting:
        """Raises OSError."""
        environ = environ_of(site, release)
        arguments, told = ordinary(release.python, environ, _PROGRAM)
        ours, theirs = socket.socketpair()
        with theirs:
            files = {MASTER_FD: theirs.fileno()}
            pid = spawn(Execution(arguments, told, lambda: None, files, blocked=(signal.SIGUSR2, *HELD)))
        return cls(pid, ours, release.python, environ)

    def become(self, site: Site, release: Release, theirs: socket.socket) -> int | None:
        """Have it be the mold with that channel; None if it is not the right one, and then it ends."""
        with self.ours:
            if (self.python, self.environ) != (release.python, environ_of(site, release)):
                return None
            try:
                socket.send_fds(self.ours, [b"."], [theirs.fileno()])
            except OSError:  # somebody has ended it
                return None
        return self.pid
