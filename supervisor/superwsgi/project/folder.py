"""The folder of a project, and the files in it that may define its application."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

from superwsgi.config.errors import ConfigError, Problem, nearest, one_of
from superwsgi.config.grammar.import_strings import AppKind, FactoryCall, ImportString, application, parse
from superwsgi.config.grammar.values import Invalid
from superwsgi.log.spelling import printable
from superwsgi.project.choosing import choices, explanation, is_factory_only
from superwsgi.project.found import Found
from superwsgi.project.python_file import PythonFile, is_file, scan

MODULES: Final = ("app.py", "wsgi.py", "application.py")
NO_APPLICATION: Final = "it defines no application"
_MOD_WSGI: Final = ".wsgi"
_CODE: Final = (".py", _MOD_WSGI)
_IN_PACKAGES: Final = ("__init__.py", "app.py", "application.py")
_LOOKED_AT: Final = frozenset({*MODULES, *_IN_PACKAGES})
_NOT_THE_APPLICATION: Final = re.compile(
    r"[._].*|tests?|testing|docs?|examples?|venv|env|node_modules|site-packages|build|dist|migrations|alembic"
    r"|(setup|conftest|noxfile|tasks|fabfile|manage)\.py|test_.*|.*_test\.py"
)
_MOST_ENTRIES: Final = 200
"""So many of what is in a folder are looked at: more is no project's."""


class Candidate(NamedTuple):
    """A file, and what in it may be the application."""

    source: PythonFile
    names: Sequence[str]

    @property
    def path(self) -> Path:
        return self.source.path


@dataclass(frozen=True, slots=True)
class ProjectFolder:
    """`path` is absolute; `command` is what the operator has typed, of superwsgi, and `typed` all of it, as
    messages have it; `notes` say what was looked at and not taken."""

    path: Path
    environ: Mapping[str, str]
    command: str
    typed: str
    notes: list[str] = field(default_factory=list)

    # What is asked of it: each is None where it has no such thing, and raises ConfigError for several.

    def modules(self, root: Path | None = None) -> Found | None:
        """app.py, wsgi.py or application.py; of two, the one that imports from the other."""
        root = root or self.path
        own = ["__init__.py"] if is_file(self.path / "__init__.py") else []
        candidates = self.candidates(Path(root, name) for name in (*MODULES, *own))
        if not candidates:
            return None
        first = candidates[0]
        outer = [each for each in candidates[1:] if _imports_from(each, first)]
        return self._chosen((outer or candidates)[0])

    def packages(self, root: Path | None = None) -> Found | None:
        """A package's wsgi.py, or else its __init__.py, app.py or application.py."""
        folders = self.packages_in(root or self.path)
        for names in (["wsgi.py"], _IN_PACKAGES):
            inside = [[Path(each, name) for name in names] for each in folders]
            found = [each for paths in inside for each in self.candidates(paths, quietly=True)[:1]]
            if found:
                return self._only(found)
        return None

    def source_layout(self) -> Found | None:
        """The same in `src/`, from where the project is."""
        root = Path(self.path, "src")
        if not is_folder(root):
            return None
        return self.modules(root) or self.packages(root)

    def others(self) -> Found | None:
        """A file of any name, where what makes its application is known; or one in a package."""
        for folders in ([self.path], self.packages_in(self.path)):
            entries = (each for folder in folders for each in self.entries(folder))
            names = [each for each in entries if each.suffix in _CODE and each.name not in _LOOKED_AT]
            found = [each for each in self.candidates(names, quietly=True) if _is_sure(each)]
            if found:
                return self._only(found)
        return None

    # Files.

    def candidates(self, paths: Iterable[Path], *, quietly: bool = False) -> list[Candidate]:
        """Those of the files that may define an application; of the others there are notes."""
        found = []
        for path in filter(is_file, paths):
            source = scan(path)
            names = choices(source)
            if names or source.mistake:
                found.append(Candidate(source, names))
            elif not quietly or explanation(source):
                self.notes.append(f"{self.spelled(path)}: {explanation(source) or NO_APPLICATION}")
        return found

    def entries(self, root: Path) -> Iterator[Path]:
        """What is in it, without what holds no application."""
        try:
            found = sorted(each for each in root.iterdir() if not _NOT_THE_APPLICATION.fullmatch(each.name))
        except OSError:
            return iter(())
        return iter(found[:_MOST_ENTRIES])

    def packages_in(self, root: Path) -> list[Path]:
        """Their folders."""
        return [each for each in self.entries(root) if is_file(each / "__init__.py")]

    def module_file(self, name: str) -> Path | None:
        """The file of a module, in the folder or in `src/`."""
        parts = name.split(".")
        for root in (self.path, Path(self.path, "src")):
            at = root.joinpath(*parts)
            for path in (at / "__init__.py", at.parent / f"{parts[-1]}.py"):  # as Python looks
                if is_file(path):
                    return path
        return None

    def existing(self, spelled: str) -> Path:
        """The file of that name or, as Flask has it, with `.py` behind. Raises ConfigError."""
        path = Path(self.path, spelled)
        meant = (path, path.parent / f"{path.name}.py", path / "__init__.py")
        found = next(filter(is_file, meant), None)
        if found is None:
            near = nearest(path.name, [each.name for each in self.entries(path.parent)])
            raise self.problem(f"there is no file {spelled}", near)
        return found

    def spelled(self, path: Path) -> str:
        """As it is named in the folder."""
        return str(path.relative_to(self.path)) if path.is_relative_to(self.path) else str(path)

    # What they have.

    def named(self, said: ImportString) -> Found:
        """The application that an operator names by its module or file. Raises ConfigError."""
        if said.kind is AppKind.MODULE and application(str(said), self.path) == str(said):
            path = self.module_file(said.source)
        else:
            path = self.existing(said.source)
        if path is not None and said.name is None:
            return self.in_file(path)
        source = None if path is None else scan(path)
        if source is not None and said.call is None and is_factory_only(source, said.name or ""):
            said = replace(said, call=FactoryCall(), arguments="()")
        app = self._as_named(said, path)
        framework = source.framework if source else None
        return Found(app, str(self.path), f"{said.label} was named", framework=framework)

    def _as_named(self, said: ImportString, path: Path | None) -> str:
        """A module in `src/` is named by its path: only that is imported without `src/` on sys.path."""
        if path is None or (said.kind is AppKind.MODULE and root_of(path) == self.path):
            return str(said)
        return f"{self.spelled(path)}:{said.name}{said.arguments}"

    def in_file(self, path: Path) -> Found:
        """The application that a file defines. Raises ConfigError."""
        source = scan(path)
        names = choices(source)
        if names or source.mistake:
            return self._chosen(Candidate(source, names))
        why = explanation(source) or "it defines no app, application, create_app() or make_app()"
        hint = f"name what it has, as in `{self.typed} {shlex.quote(self.spelled(path))}:site`"
        raise self.problem(f"{self.spelled(path)}: {why}", "" if explanation(source) else hint)

    def _only(self, found: Sequence[Candidate]) -> Found:
        if len(found) > 1:
            apps = [self._application(each.path, name) for each in found for name in each.names or ("",)]
            raise self.several(apps)
        return self._chosen(found[0])

    def _chosen(self, candidate: Candidate) -> Found:
        source, names = candidate
        if len(names) > 1:
            raise self.several([self._application(source.path, name) for name in names])
        spelled = self.spelled(source.path)
        if server := source.starts_server("".join(names)):
            message = f"{spelled} calls {server} when it is imported: that would never return"
            raise self.problem(message, 'put it below `if __name__ == "__main__":`')
        why = f"{spelled} defines {names[0]}" if names else f"{spelled} has a mistake: {source.mistake}"
        app = self._application(source.path, *names)
        return Found(app, str(self.path), why, framework=source.framework)

    def _application(self, path: Path, name: str = "") -> str:
        """As a site file names it: by its module where that is importable from the folder, or by its path."""
        parts = [] if path.name == "__init__.py" else [path.stem]
        above = path.parent
        while above != self.path and above != above.parent:
            parts.insert(0, above.name)
            above = above.parent
        dotted = ".".join(parts)
        if not (root_of(path) == self.path and _is_importable(path, dotted)):
            dotted = self.spelled(path) if "/" in self.spelled(path) else f"./{self.spelled(path)}"
        return f"{dotted}:{name}" if name else dotted

    # Errors.

    def several(self, apps: Iterable[str]) -> ConfigError:
        """Which of them is meant?"""
        found = [f"`{self.typed} {shlex.quote(app)}`" for app in apps]
        return self.problem("there are several applications", f"type {one_of(found)}")

    def problem(self, message: str, hint: str = "") -> ConfigError:
        return ConfigError([Problem(None, printable(f"{self.path}: {message}"), printable(hint))])

    def site_file(self, name: str) -> Found:
        return Found("", str(self.path), f"{name} is a site file", site_file=str(Path(self.path, name)))

    def require(self) -> None:
        """Raises ConfigError for a folder that is not there, or not ours to look at."""
        try:
            next(self.path.iterdir(), None)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise self.problem("cannot be read", reason.lower()) from None


def _is_sure(candidate: Candidate) -> bool:
    """Whether what makes it, or what it is made of, is known to make applications; a file for mod_wsgi has no
    other use."""
    source, names = candidate
    if candidate.path.suffix == _MOD_WSGI:
        return True
    bindings = [each for name in names for each in source.all_of(name)]
    inner = [each for binding in bindings for name in binding.mentions for each in source.all_of(name)]
    return any(each.is_made for each in (*bindings, *inner))


def _imports_from(candidate: Candidate, other: Candidate) -> bool:
    roots = {whole.lstrip(".").partition(".")[0] for whole in candidate.source.imports.values()}
    return other.path.stem in roots


def root_of(path: Path) -> Path:
    """Where the outermost package of a file is."""
    root = path.parent
    while is_file(root / "__init__.py") and root != root.parent:
        root = root.parent
    return root


def _is_importable(path: Path, name: str) -> bool:
    """Whether a file can be imported by that name, which no module of Python's own has, and no package."""
    if path.suffix != ".py" or name.partition(".")[0] in sys.stdlib_module_names:
        return False
    if is_file(path.with_suffix("") / "__init__.py"):
        return False
    try:
        return parse(name).kind is AppKind.MODULE
    except Invalid:
        return False


def is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
