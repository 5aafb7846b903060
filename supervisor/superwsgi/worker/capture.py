"""`log.capture`: what the application prints, in a mold and its workers, goes to the error log.

sys.stdout and sys.stderr are streams of ours: what is written there is logged at once, by the thread that
writes it, which is how its request is known. Whatever reaches descriptors 1 and 2 past them (C code, child
processes, a fatal error of the interpreter) goes through a pipe to the master, which waits for nobody, and
outlives any process that has something in the pipe.

The logs themselves have copies of the real descriptors: no line comes back.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from superwsgi import unpatched
from superwsgi.log.error import ErrorLog
from superwsgi.log.streams import CapturedBytes, captured_text
from superwsgi.worker import forks

_STREAMS: Final = {"stdout": 1, "stderr": 2}

_captured: Final[list[CapturedBytes]] = []


def begin(errors: ErrorLog, pipe: int) -> None:
    """In a mold, before it imports anything of the application's: `pipe` is what takes the place of both
    descriptors, and is closed."""
    forks.flush_output()
    for stream, fd in _STREAMS.items():
        os.dup2(pipe, fd)
        behind = CapturedBytes(errors.lines, stream, fd)
        _captured.append(behind)
        text = captured_text(behind)
        setattr(sys, stream, text)
        setattr(sys, f"__{stream}__", text)
    unpatched.close(pipe)


def follow(errors: ErrorLog) -> None:
    """In a worker, whose log is `errors`: also for whoever has kept a stream since the import."""
    for behind in _captured:
        behind.lines = errors.lines
