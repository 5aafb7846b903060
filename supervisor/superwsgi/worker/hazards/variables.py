"""Which variable of the application holds a hazard, if no record says which line made it."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import sys
from collections.abc import Iterator
from typing import Any

from superwsgi.log.frames import is_library
from superwsgi.worker.hazards.finding import Hazard


class Variables:
    """Names such as `shop.db.connection` in the application's modules, by descriptor or address in memory."""

    def __init__(self) -> None:
        self._by_fd: dict[int, str] = {}
        self._by_address: dict[int, str] = {}
        for name, value in _globals():
            with contextlib.suppress(Exception):  # closed, or not what it seems
                # Neither isinstance nor a question to the value: a lazy proxy would load its object.
                if issubclass(type(value), mmap.mmap):
                    self._by_address[ctypes.addressof(ctypes.c_char.from_buffer(value))] = name
                elif callable(getattr(type(value), "fileno", None)):
                    self._by_fd.setdefault(value.fileno(), name)

    def holder(self, found: Hazard) -> str | None:
        if found.fd is not None:
            return self._by_fd.get(found.fd)
        return next((name for at, name in self._by_address.items() if at in found.addresses), None)


def _globals() -> Iterator[tuple[str, Any]]:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and not is_library(file):
            for variable, value in list(vars(module).items()):
                yield f"{name}.{variable}", value
