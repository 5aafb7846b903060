"""The functions of the C library that Python has no other way to: each raises OSError where it fails, but for
`allocated`."""

from __future__ import annotations

import ctypes
import mmap
import os
from functools import cache
from typing import Any, ClassVar, Final

_FAILED: Final = ctypes.c_void_p(-1).value  # MAP_FAILED, mmap(2)
_CAPABILITY_VERSION_3: Final = 0x20080522

_PR_SET_DUMPABLE: Final = 4
_PTRACE_DETACH: Final = 17

Capabilities = ctypes.c_uint32 * 6  # effective, permitted, inheritable, twice 32 bits
_Header = ctypes.c_uint32 * 2  # version, process: 0 is this one


def prctl(option: int, value: int) -> None:
    """prctl(2), of an option with one argument."""
    _checked("prctl", option, *map(ctypes.c_ulong, (value, 0, 0, 0)))


def refuse_tracing() -> None:
    """From now on let no process of this user trace this one, or read its memory (ptrace(2))."""
    prctl(_PR_SET_DUMPABLE, 0)


def stop_tracing(pid: int, number: int) -> None:
    """Trace a process no more, which has stopped for us; it goes on with signal `number`, 0: none. For the
    thread that traces it (ptrace(2))."""
    _checked("ptrace", *map(ctypes.c_long, (_PTRACE_DETACH, pid, 0, number)))


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


def allocated() -> int:
    """Bytes that malloc(3) has handed out and not got back, over all arenas (mallinfo2(3)); 0 where the C
    library is another one than glibc 2.33 or later. It holds the GIL: who asks would otherwise have to
    wait for it."""
    ask = _mallinfo2()
    if ask is None:
        return 0
    found = ask()
    return int(found.uordblks) + int(found.hblkhd)


_COUNTS: Final = (
    "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks",
    "keepcost",
)  # fmt: skip


class _Mallinfo2(ctypes.Structure):
    _fields_: ClassVar = [(name, ctypes.c_size_t) for name in _COUNTS]


@cache
def _mallinfo2() -> Any:
    ask = getattr(ctypes.PyDLL(None), "mallinfo2", None)
    if ask is not None:
        ask.restype = _Mallinfo2
    return ask


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
