"""File descriptors: as many as limits.connections needs, as far as they are to be had.

The soft limit is raised no further than that: it is low (1024) for the sake of programs that use select(2),
which knows no larger numbers, and of children that close every descriptor there could be.
"""

from __future__ import annotations

import contextlib
import resource
from typing import Final

from superwsgi.system import procfs

A_CONNECTION: Final = 2
"""Its socket, and perhaps a temporary file: of a body that arrives, of a response that waits."""

A_PAIR: Final = 2
"""What a connection takes beside its socket that the application has taken over: two sockets, or one."""

SPARE: Final = 128
"""For the application: databases, caches, files; and what this process itself has open."""

_UNKNOWN: Final = 32  # what a process has open, where /proc does not tell


def provide(connections: int, upgraded: int = 0) -> int:
    """Raise the limit as `connections` need, of which so many may be `upgraded`; returns how many of them it
    leaves room for."""
    used = _in_use()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = used + SPARE + A_CONNECTION * connections + A_PAIR * min(upgraded, connections)
    if _exceeds(wanted, soft):
        wanted = hard if _exceeds(wanted, hard) else wanted
        with contextlib.suppress(OSError, ValueError):  # forbidden, by a filter of system calls
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return connections if soft == resource.RLIM_INFINITY else reachable(connections, soft, used)


def reachable(connections: int, limit: int, used: int) -> int:
    """How many of `connections` fit where `limit` descriptors may be open and `used` are: at least one."""
    left = limit - used
    return max(1, min(connections, left - min(SPARE, left // 4)))


def _exceeds(wanted: int, limit: int) -> bool:
    return limit != resource.RLIM_INFINITY and wanted > limit


def _in_use() -> int:
    return len(procfs.descriptors()) or _UNKNOWN
