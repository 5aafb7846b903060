"""From the name of a module, or the path of a file, to the module.

A file in a package, or whose name is one of a module, is imported by that name, so that what it imports is
one and the same as what others import. Any other is loaded under a name that is made up.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from keyword import iskeyword
from pathlib import Path
from types import ModuleType
from typing import Final, NoReturn
from zlib import crc32

from superwsgi.apps.spec import Spec, near

_MADE_UP: Final = "_superwsgi_{stem}_{check:08x}"
_NEVER_SHADOWED: Final = frozenset({"__main__", *sys.builtin_module_names})
"""Found before any folder of sys.path."""


def by_name(spec: Spec) -> ModuleType:
    """The module that is called so. Raises AppError."""
    name = spec.said.source
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and f"{name}.".startswith(f"{exc.name}."):
            spec.fail(f"no module named {exc.name!r}{_instead(name, exc.name)}")
        _fail_without(spec, exc, name)
    except BaseException as exc:
        spec.fail_import(exc, name)


def by_path(spec: Spec) -> ModuleType:
    """The module of a file; its folder, or that of its outermost package, is on sys.path. Raises AppError."""
    path = _file(Path(spec.said.source))
    _require(spec, path)
    name, root = _name_of(path)
    if sys.path[:1] != [str(root)]:
        sys.path.insert(0, str(root))
    try:
        return (_imported(name, path) if name else None) or _made_up(path)
    except ModuleNotFoundError as exc:
        _fail_without(spec, exc, path.name)
    except BaseException as exc:
        spec.fail_import(exc, path.name)


def _fail_without(spec: Spec, exc: ModuleNotFoundError, what: str) -> NoReturn:
    spec.fail_import(exc, what, f"; packages are looked for in {sys.prefix}")


# Files.


def _file(path: Path) -> Path:
    """That of a package, if its folder is named."""
    inside = path / "__init__.py"
    return inside if inside.is_file() else path


def _require(spec: Spec, path: Path) -> None:
    """Raises AppError for a file that cannot be read."""
    try:
        with path.open("rb"):
            return
    except IsADirectoryError:
        spec.fail("it is a folder: name the file in it")
    except FileNotFoundError:
        folder = path.parent
        others = [each.name for each in folder.iterdir()] if folder.is_dir() else []
        spec.fail(f"there is no such file{near(path.name, others)}")
    except (OSError, ValueError) as exc:
        spec.fail(f"it cannot be read: {exc}")


def _name_of(path: Path) -> tuple[str | None, Path]:
    """The name by which the file can be imported, if there is one, and the folder where that begins."""
    parts = [] if path.name == "__init__.py" else [path.stem]
    root = path.parent
    while Path(root, "__init__.py").is_file() and root != root.parent:
        parts.insert(0, root.name)
        root = root.parent
    importable = path.suffix == ".py" and parts and all(map(_is_name, parts))
    return (".".join(parts) if importable else None), root


def _is_name(part: str) -> bool:
    return part.isidentifier() and not iskeyword(part)


def _imported(name: str, path: Path) -> ModuleType | None:
    """The module of that name, if it is that of the file and no other: `code.py` may be the application's or
    Python's own."""
    outermost = name.partition(".")[0]
    if outermost in _NEVER_SHADOWED or not _is_free(outermost, name, path):
        return None
    importlib.invalidate_caches()
    module = importlib.import_module(name)
    return module if _is_of(module, path) else None


def _is_free(outermost: str, name: str, path: Path) -> bool:
    """Whether nothing else has been imported by that name."""
    known = sys.modules.get(outermost)
    if known is None:
        return True
    beginning = path
    for _ in name.split(".")[1:]:
        beginning = beginning.parent
    return _is_of(known, beginning) or _is_of(known, Path(beginning, "__init__.py"))


def _is_of(module: ModuleType, path: Path) -> bool:
    try:
        return path.samefile(module.__file__ or "")
    except (AttributeError, OSError):
        return False


class _Uncached(SourceFileLoader):
    """Nothing of `trac.wsgi` is kept in __pycache__: there it would have the name that `trac.py` has."""

    def path_stats(self, path: str) -> dict[str, float]:
        raise OSError(path)


def _made_up(path: Path) -> ModuleType:
    """The file's module, under a name of ours, in sys.modules: what it defines can be pickled there."""
    stem = re.sub(r"\W", "_", path.stem)
    name = _MADE_UP.format(stem=stem, check=crc32(bytes(path)))
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path, loader=_Uncached(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


# What may have been meant.


def _instead(name: str, missing: str) -> str:
    """Where it was looked for, and a similar name."""
    package, _, last = missing.rpartition(".")
    where = "" if package else f" in {_here()} or in the packages of {sys.prefix}"
    meant = near(last, _siblings(missing))
    is_file = f"; if it is a file, write ./{name}" if name.endswith(".wsgi") and not meant else ""
    return where + meant + is_file


def _here() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return "the working folder, which has been removed (an old release?),"


def _siblings(module: str) -> list[str]:
    parent = sys.modules.get(module.rpartition(".")[0])
    path = list(parent.__path__) if parent and hasattr(parent, "__path__") else None
    found = (each.name for each in pkgutil.iter_modules(path))
    return [name for name in found if path is not None or name not in sys.stdlib_module_names]
