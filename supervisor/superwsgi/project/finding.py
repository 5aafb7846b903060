"""From what an operator has typed, or from nothing, to the application of a project.

Files are looked at, and none of their code is run.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from superwsgi.config.errors import ConfigError, Problem
from superwsgi.config.grammar.import_strings import AppKind, parse
from superwsgi.config.grammar.values import Invalid
from superwsgi.config.links import as_spelled
from superwsgi.log.spelling import printable
from superwsgi.project import django, flask, inis, pyproject
from superwsgi.project.folder import MODULES, NO_APPLICATION, ProjectFolder, is_folder
from superwsgi.project.found import Found
from superwsgi.project.python_file import is_file

SITE_FILES: Final = ("site.yaml", "site.yml", "superwsgi.yaml", "superwsgi.yml")
_YAML: Final = (".yaml", ".yml")
_WAYS: Final = (
    flask.named,
    django.managed,
    ProjectFolder.modules,
    ProjectFolder.packages,
    ProjectFolder.source_layout,
    inis.alone,
    ProjectFolder.others,
)
"""In this order: the first that has one is taken."""


def find(target: str | None, environ: Mapping[str, str], folder: str = ".", *, command: str = "run") -> Found:
    """The application that `target` names: a module, `module:attribute`, a file, a Paste file, a site file or
    a folder; without one, that of `folder`.

    `command` is what the operator has typed, for messages; for `dev`, development.ini goes before
    production.ini, and `init` looks for what a site file would say. Raises ConfigError with what was looked
    at, or the names of all that may be meant.
    """
    here = ProjectFolder(Path(as_spelled(folder, environ)), environ, command, f"superwsgi {command}")
    return _named(here, target) if target else _search(here)


def _named(here: ProjectFolder, target: str) -> Found:
    if target.endswith(_YAML):
        return here.site_file(target)
    path = Path(here.path, target)
    is_word = "/" not in target and target not in (".", "..")
    if is_folder(path) and not (is_word and here.module_file(target)):
        return _search(replace(here, path=path, typed=f"{here.typed} --chdir {shlex.quote(target)}"))
    try:
        said = parse(target)
    except Invalid as error:
        raise ConfigError([Problem(None, f"{target!r}: expected {error.expected}", error.hint)]) from None
    if said.kind is AppKind.PASTE:
        return inis.named(here, said)
    if path.name == "manage.py" and is_file(path):
        return django.managed(replace(here, path=path.parent)) or here.named(said)
    return here.named(said)


def _search(here: ProjectFolder) -> Found:
    """Raises ConfigError where there is none, or several are as good as each other."""
    here.require()
    for name in SITE_FILES if here.command != "init" else ():  # that is who writes one
        if is_file(Path(here.path, name)):
            return here.site_file(name)
    declared = pyproject.declared(here)
    if declared.app:
        return declared
    for way in _WAYS:
        found = way(here)
        if found is not None:
            return replace(found, settings=declared.settings)
    raise _nothing(here)


def _nothing(here: ProjectFolder) -> ConfigError:
    looked = (
        f"[tool.superwsgi], FLASK_APP, manage.py, {', '.join(MODULES)}, packages, src/, .wsgi and Paste files"
    )
    hint = f"name it, as in `{here.typed} shop.wsgi:application`"
    notes = [printable(note) for note in (*here.notes, *_below(here))]
    explained = any(not note.endswith(NO_APPLICATION) for note in notes)
    first = here.problem(f"no application found; looked for {looked}", "" if explained else hint)
    return ConfigError([*first.problems, *(Problem(None, note) for note in notes)])


def _below(here: ProjectFolder) -> Iterator[str]:
    """Folders in it that may be those of projects."""
    for folder in here.entries(here.path):
        looked_at = is_file(folder / "__init__.py")
        names = ["manage.py", *([] if looked_at else (*MODULES, "main.py"))]
        found = [here.spelled(folder / name) for name in names if is_file(folder / name)]
        if found:
            yield f"there is {found[0]}: {_typed(here, here.spelled(folder))}"
        for ini in inis.known(here, folder):
            yield f"there is {here.spelled(ini)}: {_typed(here, here.spelled(ini))}"


def _typed(here: ProjectFolder, target: str) -> str:
    return f"type `{here.typed} {shlex.quote(target)}`"
