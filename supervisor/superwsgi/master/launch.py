"""Starting a mold process: a freshly executed interpreter.

So a deploy may replace any package, even those that superwsgi itself uses. Nothing of the mold's own program
is imported here: a worker's loop would be 2 MB of the master's memory.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable

from superwsgi.channel import MOLD_FD
from superwsgi.config.schema import Site

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
    catchable = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", _PROGRAM],
            {**os.environ, **site.env},
            file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), MOLD_FD)],
            setsigmask=[signal.SIGUSR2],  # until it can write its stacks
            setsigdef=catchable,
        )
    except OSError as error:
        raise OSError(error.errno, f"{sys.executable}: {error.strerror}") from None
