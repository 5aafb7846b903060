"""What this program runs on: the interpreter, whether its threads take turns, and whether the modules on the
request path are compiled."""

from __future__ import annotations

import platform
import sys
import sysconfig
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec
from typing import Final

_HAS_GIL: Final[Callable[[], bool]] = getattr(sys, "_is_gil_enabled", lambda: True)  # since Python 3.13


def is_free_threaded() -> bool:
    """Whether the interpreter can do without the GIL, and so whether `has_gil` may change (PEP 703)."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def has_gil() -> bool:
    """Whether threads take turns at computing. They do in a free-threaded interpreter, too, once it has
    loaded an extension that does not say that it needs no GIL, or where PYTHON_GIL=1 tells it to."""
    return _HAS_GIL()


def python() -> str:
    """The interpreter: `3.13.0`, or `3.14.0 free-threaded`, or `3.14.0 free-threaded, GIL on`."""
    version = platform.python_version()
    if not is_free_threaded():
        return version
    return f"{version} free-threaded, GIL on" if has_gil() else f"{version} free-threaded"


def is_compiled() -> bool:
    """Whether mypyc has made C of the modules on the request path (pyproject.toml has the list)."""
    module = find_spec("superwsgi.board.scoreboard")
    return module is not None and isinstance(module.loader, ExtensionFileLoader)
