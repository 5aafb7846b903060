"""The functions of the C library that Python has no other way to: each raises OSError where it fails."""

from __future__ import annotations

import ctypes
import mmap
import os
from functools import cache
from typing import Final

_FAILED: Final = ctypes.c_void_p(-1).value  # MAP_FAILED, mmap(2)
_CAPABILITY_VERSION_3: Final = 0x20080522

_PR_SET_DUMPABLE: Final = 4

Capabilities = ctypes.c_uint32 * 6  # effective, permitted, inheritable, twice 32 bits
_Header = ctypes.c_uint32 * 2  # version, process: 0 is this one


def prctl(option: int, value: int) -> None:
    """prctl(2), of an option with one argument."""
    _checked("prctl", option, *map(ctypes.c_ulong, (value, 0, 0, 0)))


def refuse_tracing() -> None:
    """From now on let no process of this user trace this one, or read its memory (ptrace(2))."""
    prctl(_PR_SET_DUMPABLE, 0)


def capget() -> ctypes.Array[ctypes.c_uint32]:
    """The capabilities of this thread (capget(2))."""
    data = Capabilities()
    _checked("capget", _Header(_CAPABILITY_VERSION_3, 0), data)
    return data


def capset(data: ctypes.Array[ctypes.c_uint32]) -> None:
    """Give this thread these Capabilities (capset(2))."""
    _checked("capset", _Header(_CAPABILITY_VERSION_3, 0), data)


def map_page(fd: int) -> int:
    """The address of a page of a file, to be read, shared; Python's own mmap would keep a descriptor."""
    address = _library().mmap(None, mmap.PAGESIZE, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
    if address == _FAILED:
        raise _error("mmap")
    return int(address)


def unmap_page(address: int) -> None:
    """munmap(2)."""
    _checked("munmap", ctypes.c_void_p(address), ctypes.c_size_t(mmap.PAGESIZE))


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    return library


def _checked(name: str, *arguments: object) -> None:
    if _library()[name](*arguments) != 0:
        raise _error(name)


def _error(name: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{name}: {os.strerror(number)}")
