"""Importing what is in the files, and not what was in them a moment ago.

Python takes bytecode for that of a source file if modification time and size are the same, and counts the
time in whole seconds (PEP 3147; importlib.machinery.SourceLoader.get_code). So after two edits within a
second it may run the first. Here bytecode of files that have just changed is neither read nor written.
"""

from __future__ import annotations

import sys
import time
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from pathlib import Path
from typing import Any, Final

_NEW: Final = 2.0
"""Seconds after a change in which another one may have the same time."""


class _Fresh(SourceFileLoader):
    def path_stats(self, path: str) -> Any:
        """Raises OSError where there is to be no bytecode, as that method may."""
        stats = super().path_stats(path)
        if abs(time.time() - Path(path).stat().st_mtime) < _NEW:
            raise OSError(f"{path} has just changed")
        return stats


def trust_no_new_bytecode() -> None:
    """From now on, in this process."""
    loaders: list[tuple[Any, list[str]]] = [
        (ExtensionFileLoader, EXTENSION_SUFFIXES),
        (_Fresh, SOURCE_SUFFIXES),
        (SourcelessFileLoader, BYTECODE_SUFFIXES),
    ]
    hook = FileFinder.path_hook(*loaders)
    sys.path_hooks[:] = [hook if "FileFinder" in repr(each) else each for each in sys.path_hooks]
    sys.path_importer_cache.clear()
