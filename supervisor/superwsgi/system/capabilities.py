"""The capabilities of this process (capabilities(7)), while it has one thread.

A process that was root loses most of them by setresuid(2), but keeps the inheritable ones, and all of them if
securebits say so.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

_VERSION_3: Final = 0x20080522
_WORDS: Final = 6  # effective, permitted, inheritable, twice 32 bits

_Header = ctypes.c_uint32 * 2  # version, process: 0 is this one
_Data = ctypes.c_uint32 * _WORDS


def give_up() -> None:
    """Have none, nor any in programs that are executed: ambient ones go with the permitted. Raises
    OSError."""
    _call("capset", _Data())


def left() -> bool:
    """Whether there are any. Raises OSError."""
    data = _Data()
    _call("capget", data)
    return any(data)


def _call(name: str, data: ctypes.Array[ctypes.c_uint32]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc[name](_Header(_VERSION_3, 0), data) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
