"""Paste files, Pyramid's for example, that describe a project's application."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from superwsgi.config.errors import nearest
from superwsgi.config.grammar.import_strings import ImportString
from superwsgi.config.text.paste import applications, sections
from superwsgi.config.text.variables import UnusableFile
from superwsgi.project.folder import ProjectFolder
from superwsgi.project.found import Found
from superwsgi.project.python_file import is_file

_MAIN: Final = "main"
_PREFERRED: Final = ("production.ini", "development.ini")
_FOR_TESTS: Final = ("testing.ini", "test.ini")


def named(here: ProjectFolder, said: ImportString) -> Found:
    """The application of a Paste file that an operator names. Raises ConfigError."""
    path = Path(here.path, said.source)
    if not is_file(path):
        inis = [each.name for each in here.entries(path.parent) if each.suffix == ".ini"]
        raise here.problem(f"there is no file {said.source}", nearest(path.name, inis))
    return _found(here, path, said.name)


def alone(here: ProjectFolder) -> Found | None:
    """That of a project which has nothing else: production.ini or, to develop, development.ini goes first."""
    there = known(here, here.path)
    names = {each.name: each for each in there}
    order = reversed(_PREFERRED) if here.command == "dev" else _PREFERRED
    preferred = next((names[name] for name in order if name in names), None)
    if preferred is None and len(there) > 1:
        raise here.several([here.spelled(each) for each in there])
    path = preferred or next(iter(there), None)
    return None if path is None else _found(here, path, None)


def known(here: ProjectFolder, folder: Path) -> list[Path]:
    """Those of the files in a folder that describe applications, and not for tests."""
    inis = [each for each in here.entries(folder) if each.suffix == ".ini" and each.name not in _FOR_TESTS]
    return [each for each in inis if _applications(each)]


def _found(here: ProjectFolder, path: Path, section: str | None) -> Found:
    spelled = here.spelled(path)
    try:
        said = sections(path)
    except (OSError, UnusableFile) as error:
        raise here.problem(f"{spelled} {error}") from None
    there = applications([*said])
    if section is None and _MAIN not in there and len(there) > 1:
        raise here.several([f"paste:{spelled}#{each}" for each in there])
    if not there or (section is not None and section not in there):
        has = f"it has {', '.join(there)}" if there else "it is no Paste file"
        raise here.problem(f"{spelled} has no section [app:{section or _MAIN}]", has)
    name = section or (_MAIN if _MAIN in there else there[0])
    app = f"paste:{spelled}" + (f"#{name}" if name != _MAIN else "")
    why = f"{spelled} is a Paste file with [app:{name}]"
    return Found(app, str(here.path), why, framework=_framework(said))


def _framework(said: object) -> str | None:
    return "pyramid" if "'pyramid." in repr(said) else None


def _applications(path: Path) -> list[str]:
    try:
        return applications([*sections(path)])
    except (OSError, UnusableFile):
        return []
