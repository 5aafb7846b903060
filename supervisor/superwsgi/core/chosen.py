"""What of the request path is in C (_core.c), where a compiler was there: the plain case of what its twin in
Python does for every case. Each is None where there is no such module, and its twin does all of it.

A function in C gives what its twin gives, or declines: then it returns None, and its twin decides. So what is
refused or unusual is in Python. The same tests run over both (tests/core.py).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from _thread import LockType
    from socket import socket

PlainHead = tuple[int, dict[str, Any], str, bytes, str, bool]
"""Where it ends; its environ, method, target, version; whether the connection goes on."""

ReadPlain = Callable[[bytes, int, dict[str, Any], dict[str, str], set[str], int, int, int], PlainHead | None]
"""Its arguments are those of `read_plain` in _core.c."""


def _load() -> ModuleType | None:
    try:
        return import_module("superwsgi.core._core")
    except ImportError:
        return None


CORE: Final = _load()

READ_PLAIN: Final[ReadPlain | None] = getattr(CORE, "read_plain", None)
"""For Parser in http/request/parser.py."""

ShowRequest = Callable[[memoryview, int, int, int, str, int, bytes, int, str, int], bool | None]
SHOW_REQUEST: Final[ShowRequest | None] = getattr(CORE, "show_request", None)
"""For InHandWriter in board/thread_record.py."""

COUNT: Final[Callable[[bytearray, bytes, int, int, int, int, int], None] | None] = getattr(
    CORE, "count", None
)
"""For ThreadWriter there."""

RECEIVE: Final[Callable[[socket, int], bytes | None] | None] = getattr(CORE, "receive", None)
"""For Connection in worker/connection/connection.py."""

SEND: Final[Callable[[socket, bytes], int | None] | None] = getattr(CORE, "send", None)
"""For Delivery there."""

MUTEX: Final[Callable[[], LockType] | None] = getattr(CORE, "Mutex", None)
"""For `unpatched.py`."""
