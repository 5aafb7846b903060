"""Starting a mold process: a freshly executed interpreter.

So a deploy may replace any package, even those that superwsgi itself uses. Nothing of the mold's own program
is imported here: a worker's loop would be 2 MB of the master's memory.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterable

from superwsgi.channel import MOLD_FD
from superwsgi.config.schema import Site
from superwsgi.master.generations.release import Release

_SAFE = "PYTHONSAFEPATH"
_FORGET = f"import os; os.environ.pop({_SAFE!r}, None)\n"
_PROGRAM = """\
import sys
if sys.path[:1] == ['']: del sys.path[0]
from superwsgi.worker.boot.mold import main
main()
"""

Launch = Callable[[Site, Release, socket.socket, Iterable[int]], int]
"""(site, its release, the mold's end of its channel, descriptors that only the master may hold) -> process
id."""


def execute(site: Site, release: Release, theirs: socket.socket, _private: Iterable[int]) -> int:
    """A mold that is a fresh interpreter; everything private is close-on-exec. Raises OSError.

    It must not look for modules in the working folder: that may have been removed with an old release, and
    then Python 3.13 fails at the first attribute that some module does not have. Older ones than 3.11 do not
    know the variable, and need it less.
    """
    environ = release.environ(site)
    program = _PROGRAM if _SAFE in environ else _FORGET + _PROGRAM
    catchable = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    try:
        return os.posix_spawn(
            release.python,
            [release.python, "-c", program],
            {**environ, _SAFE: "1"},  # last: setproctitle looks for the arguments before the first
            file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), MOLD_FD)],
            setsigmask=[signal.SIGUSR2],  # until it can write its stacks
            setsigdef=catchable,
        )
    except OSError as error:
        raise OSError(error.errno, f"{release.python}: {error.strerror}") from None
