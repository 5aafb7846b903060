"""The build step that compiles modules on the way of a request, for the wheel: mypyc makes C of typed Python.

A hook of hatchling, switched on with HATCH_BUILD_HOOKS_ENABLE=1; pyproject.toml has the list of modules. What
is compiled goes from a temporary folder into the wheel, beside the sources: nothing is written to the
checkout, where it would be imported in the place of sources that have changed since.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_MYPY = ("--config-file=", "--ignore-missing-imports")  # strictness is the lint's business


class CompileHook(BuildHookInterface):
    """`modules` are glob patterns below this file's folder, `except` what they shall not match."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        self._folder = TemporaryDirectory(prefix="superwsgi-compile-")
        sources = Path(self.root, "supervisor")
        _compile(sources, self._modules(sources), Path(self._folder.name))
        libraries = Path(self._folder.name, "lib")
        for library in libraries.rglob("*.so"):
            build_data["force_include"][str(library)] = str(library.relative_to(libraries))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            self._folder.cleanup()

    def _modules(self, sources: Path) -> list[str]:
        """Relative to `sources`: the paths stand in tracebacks, and linecache finds them on sys.path."""
        wanted, refused = (
            {path for pattern in self.config[key] for path in sources.glob(pattern)}
            for key in ("modules", "except")
        )
        return sorted(str(path.relative_to(sources)) for path in wanted - refused)


def _compile(sources: Path, modules: list[str], folder: Path) -> None:
    """Shared libraries in `folder`/lib: one with all the code, and one for each module that refers to it."""
    from mypyc.build import mypycify
    from setuptools import Distribution

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
            extension.extra_compile_args.append("-Wno-error")  # newer compilers warn of more
        build = Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
        build.build_lib, build.build_temp = str(folder / "lib"), str(folder / "o")
        build.ensure_finalized()
        build.run()
    finally:
        os.chdir(before)
