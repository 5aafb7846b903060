"""What is in C (superwsgi/core/), for tests that run over both: a wheel's, or else compiled for them."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from functools import lru_cache
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Final

from superwsgi import build
from superwsgi.core.chosen import CORE

SOURCE: Final = Path(__file__).parents[1] / "supervisor" / "superwsgi" / "core" / "_core.c"
_STRICT: Final = ("-O1", "-Wall", "-Wextra", "-Werror", "-std=c11")


@lru_cache
def in_c() -> ModuleType | None:
    """None where it cannot be: there is no compiler, or the interpreter is free-threaded."""
    if CORE is not None:
        return CORE
    headers = sysconfig.get_path("include")
    if build.is_free_threaded() or shutil.which("cc") is None or not Path(headers, "Python.h").exists():
        return None
    with TemporaryDirectory() as folder:
        library = str(Path(folder, f"_core{sysconfig.get_config_var('EXT_SUFFIX')}"))
        command = ["cc", *_STRICT, "-shared", "-fPIC", f"-I{headers}", str(SOURCE), "-o", library]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        return _loaded(library)


def _loaded(library: str) -> ModuleType:
    name = "superwsgi.core._core"
    spec = spec_from_file_location(name, library, loader=ExtensionFileLoader(name, library))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
