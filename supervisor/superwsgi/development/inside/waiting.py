"""The program of a mold that was started ahead: it imports the server once others need the processors less,
and becomes a mold when it is given a channel to the master. Nothing that it imports is of the project, which
may change until then.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from setproctitle import setproctitle

from superwsgi.development import names
from superwsgi.system import signals

MASTER_FD: Final = 3
"""The descriptor of a socket to the master."""

HELD: Final = (signal.SIGINT, signal.SIGHUP)
"""Signals that a terminal sends to all its processes: blocked until they can be ignored."""

_PAUSE: Final = 20
"""Milliseconds between two looks at whether the generation before serves."""

_PATIENCE: Final = 5.0
"""Seconds after which the server is imported in any case."""


def main() -> None:
    """Wait for the channel, and be a mold; end if none comes any more."""
    signals.ignore(HELD)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
    setproctitle("superwsgi: next mold")
    with socket.socket(fileno=MASTER_FD) as master:
        _wait_for_a_quiet_moment(master)
        from superwsgi.channel import CHANNEL_FD
        from superwsgi.development.inside import wrapping  # noqa: F401 - it will be needed
        from superwsgi.worker.boot import mold

        word, channels, _, _ = socket.recv_fds(master, 1, 1)
    if not word:
        os._exit(0)
    if channels[0] != CHANNEL_FD:
        os.dup2(channels[0], CHANNEL_FD)
        os.close(channels[0])
    sys.modules["__main__"].main = mold.main  # type: ignore[attr-defined]  # by which it knows its program
    mold.main()


def _wait_for_a_quiet_moment(master: socket.socket) -> None:
    """Until the last generation is loaded, or cannot be, or the master calls."""
    poll = select.poll()
    poll.register(master, select.POLLIN)
    began, before = time.monotonic(), [*_told()]
    while not poll.poll(_PAUSE) and before == [*_told()] and time.monotonic() - began < _PATIENCE:
        pass


def _told() -> Iterator[float | None]:
    """When the files were written that tell of it."""
    for name in (names.FAILURE, names.NEWEST):
        try:
            yield Path(os.environ[names.VARIABLE], name).stat().st_mtime
        except OSError:
            yield None
