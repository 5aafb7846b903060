"""The build step that compiles the modules on the request path, for the wheel: mypyc makes C of typed Python,
and one module is written in C.

A hook of hatchling; pyproject.toml has the lists of both. Where there is no C compiler, or it fails,
the wheel is plain Python, which does the same; so it is for a free-threaded interpreter. What is compiled
goes from a temporary folder into the wheel, beside the sources: nothing is written to the checkout, where it
would be imported in the place of sources that have changed since.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_COMPILER = ("mypy[mypyc]>=1.15", "setuptools>=70")
_NEEDS_GIL = "this Python is free-threaded, and mypyc's code takes the GIL for granted"
_MYPY = ("--config-file=", "--ignore-missing-imports")  # strictness is the lint's business


class CompileHook(BuildHookInterface):
    """`modules` are glob patterns below this file's folder, `except` what they shall not match;
    `extensions` are files of C there."""

    def dependencies(self) -> list[str]:
        """Of the build; those of the package itself are there for their types."""
        compiles = _can_compile() and not _is_free_threaded()
        return [*_COMPILER, *self.metadata.core.dependencies] if compiles else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        self._folder = TemporaryDirectory(prefix="superwsgi-compile-")
        if version == "editable" or not _can_compile():
            return
        if _is_free_threaded():
            self.app.display_warning(f"superwsgi is not compiled, but plain Python: {_NEEDS_GIL}")
            return
        sources = Path(self.root, "supervisor")
        try:
            _compile(sources, self._modules(sources), self.config["extensions"], Path(self._folder.name))
        except (Exception, SystemExit) as error:  # mypyc exits where it finds something wrong
            self.app.display_warning(f"superwsgi is not compiled, but plain Python: {error}")
            return
        libraries = Path(self._folder.name, "lib")
        for library in libraries.rglob("*.so"):
            build_data["force_include"][str(library)] = str(library.relative_to(libraries))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        self._folder.cleanup()

    def _modules(self, sources: Path) -> list[str]:
        """Relative to `sources`: the paths stand in tracebacks, and linecache finds them on sys.path."""
        wanted, refused = (
            {path for pattern in self.config[key] for path in sources.glob(pattern)}
            for key in ("modules", "except")
        )
        return sorted(str(path.relative_to(sources)) for path in wanted - refused)


def _can_compile() -> bool:
    """Whether there are a C compiler and Python's headers."""
    return shutil.which("cc") is not None and Path(sysconfig.get_path("include"), "Python.h").exists()


def _is_free_threaded() -> bool:
    """mypyc makes code for it (mypyc issue 1104), but no locks: threads that change an attribute or a list at
    the same time may crash the process, where plain Python has a lock for each object."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def _compile(sources: Path, modules: list[str], written: list[str], folder: Path) -> None:
    """Shared libraries in `folder`/lib: one with all the code that mypyc makes, one for each module that
    refers to it, and those `written` in C."""
    from mypyc.build import mypycify
    from setuptools import Distribution, Extension

    before = Path.cwd()
    os.chdir(sources)
    try:
        extensions = mypycify(
            [*_MYPY, f"--cache-dir={folder}", *modules],
            group_name="superwsgi",
            debug_level="0",
            target_dir=str(folder / "c"),
        )
        for extension in extensions:
            extension.extra_compile_args = [
                *extension.extra_compile_args,  # one list, which all of them have
                "-Wno-error",  # newer compilers warn of more
                "-fvisibility=hidden",  # else any of our functions could be replaced, and none is inlined
            ]
        extensions += [Extension(path.removesuffix(".c").replace("/", "."), [path]) for path in written]
        build = Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
        build.build_lib, build.build_temp = str(folder / "lib"), str(folder / "o")
        build.ensure_finalized()
        build.run()
    finally:
        os.chdir(before)
