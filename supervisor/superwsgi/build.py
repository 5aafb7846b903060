"""What this program runs on: the interpreter, and whether the modules on the request path are compiled."""

from __future__ import annotations

import platform
from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec


def python() -> str:
    """The interpreter's version, such as `3.13.0`."""
    return platform.python_version()


def is_compiled() -> bool:
    """Whether mypyc has made C of the modules on the request path (pyproject.toml has the list)."""
    module = find_spec("superwsgi.board.scoreboard")
    return module is not None and isinstance(module.loader, ExtensionFileLoader)
