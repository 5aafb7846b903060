"""Which variable of the application holds a descriptor: for those whose making nobody could watch."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from superwsgi.log.frames import is_library


def variables() -> dict[int, str]:
    """`shop.db.connection` by descriptor, of the variables of modules that are in no library."""
    held: dict[int, str] = {}
    for name, value in _globals():
        fd = _descriptor(value)
        if fd is not None:
            held.setdefault(fd, name)
    return held


def _globals() -> Iterator[tuple[str, object]]:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and not is_library(file):
            for variable, value in list(vars(module).items()):
                yield f"{name}.{variable}", value


def _descriptor(value: object) -> int | None:
    # Asked of the type: a lazy proxy's instance would wake what is behind it.
    if not callable(getattr(type(value), "fileno", None)):
        return None
    with contextlib.suppress(Exception):  # closed, or not what it seems
        fd = value.fileno()  # type: ignore[attr-defined]
        return fd if isinstance(fd, int) and fd >= 0 else None
    return None
