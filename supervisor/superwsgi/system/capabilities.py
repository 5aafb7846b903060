"""The capabilities of this process (capabilities(7)), while it has one thread.

A process that was root loses most of them by setresuid(2), but keeps the inheritable ones, and all of them if
securebits say so.
"""

from __future__ import annotations

from superwsgi.system import libc


def give_up() -> None:
    """Have none, nor any in programs that are executed: ambient ones go with the permitted. Raises
    OSError."""
    libc.capset(libc.Capabilities())


def left() -> bool:
    """Whether there are any. Raises OSError."""
    return any(libc.capget())
