"""Starting a mold process: a freshly executed interpreter, or, for `superwsgi.run`, a fork of this process.

A fresh interpreter means that a deploy may replace any package, even those that superwsgi itself uses.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from superwsgi.apps.types import WSGIApp
from superwsgi.channel import Channel
from superwsgi.config.schema import Site
from superwsgi.worker import mold

_PROGRAM = """\
import sys
if sys.path[:1] == ['']: del sys.path[0]
from superwsgi.worker.mold import main
main()
"""

Launch = Callable[[Site, socket.socket, Iterable[int]], int]
"""(site, the mold's end of its channel, descriptors that only the master may hold) -> process id."""


def execute(site: Site, theirs: socket.socket, _private: Iterable[int]) -> int:
    """A mold that is a fresh interpreter; everything private is close-on-exec. Raises OSError."""
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", _PROGRAM],
        {**os.environ, **site.env},
        file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), mold.CHANNEL_FD)],
        setsigmask=[],
        setsigdef=[
            number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)
        ],
    )


@dataclass(frozen=True)
class ForkWith:
    """A mold that is a fork of this process and serves the application object that lives here, whatever fork
    hazards were `found` beside it."""

    app: WSGIApp
    found: Sequence[str]

    def __call__(self, site: Site, theirs: socket.socket, private: Iterable[int]) -> int:
        pid = os.fork()
        if pid == 0:
            mold.begin(Channel(theirs), self.app, self.found, private)
        return pid
