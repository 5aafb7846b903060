"""`FLASK_APP`, which Flask's own commands go by: from the environment, .env or .flaskenv, in this order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from superwsgi.config.grammar.import_strings import parse
from superwsgi.config.grammar.values import Invalid
from superwsgi.config.text import dotenv
from superwsgi.config.text.variables import UnusableFile
from superwsgi.project.folder import ProjectFolder
from superwsgi.project.found import Found

_VARIABLE: Final = "FLASK_APP"
_FILES: Final = (".env", ".flaskenv")


def named(here: ProjectFolder) -> Found | None:
    """The application that it names. Raises ConfigError."""
    value, where = _value(here)
    if not value:
        return None
    try:
        said = parse(value)
    except Invalid as error:
        raise here.problem(f"{where}: expected {error.expected}", error.hint) from None
    found = here.named(said)
    return replace(found, why=f"{where} is {said.label}", framework="flask")


def _value(here: ProjectFolder) -> tuple[str, str]:
    """And where it was written."""
    if value := here.environ.get(_VARIABLE, "").strip():
        return value, f"{_VARIABLE} in the environment"
    for name in _FILES:
        try:
            values = dotenv.read(Path(here.path, name), here.environ, [])
        except (OSError, UnusableFile):
            continue
        if value := values.get(_VARIABLE, "").strip():
            return value, f"{_VARIABLE} in {name}"
    return "", ""
