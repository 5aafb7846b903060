"""The standard descriptors of a process that was started without some of them (`superwsgi >&-`)."""

from __future__ import annotations

import os
import sys


def provide() -> None:
    """Let /dev/null take the numbers that are free: else some file of ours would, and with it what anybody
    prints. Python's streams are there, too."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)
    sys.stderr = sys.stderr or open(2, "w", closefd=False)
