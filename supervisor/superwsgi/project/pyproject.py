"""`[tool.superwsgi]` in pyproject.toml: keys of a site file, in TOML."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from superwsgi.config.grammar.import_strings import AppKind, parse
from superwsgi.config.grammar.values import Invalid
from superwsgi.config.text.variables import UnusableFile, read_text
from superwsgi.project.folder import ProjectFolder
from superwsgi.project.found import Found

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_NAME = "pyproject.toml"
_OURS = "tool.superwsgi"
_LARGEST = 1 << 20


def declared(here: ProjectFolder) -> Found:
    """What it says; without `app`, the settings alone. Raises ConfigError."""
    said = dict(_table(here))
    app = said.pop("app", None)
    if "apps" in said:
        raise here.problem(f"{_NAME}: [tool.superwsgi] has apps", "several applications need a site file")
    if app is None:
        return Found("", str(here.path), "", settings=said)
    try:
        spec = parse(app) if isinstance(app, str) else None
    except Invalid as error:
        raise here.problem(f"{_NAME}: app: expected {error.expected}, got {app!r}", error.hint) from None
    if spec is None:
        raise here.problem(f"{_NAME}: app: expected text, got {app!r}")
    found = Found(str(app), str(here.path), "")
    if spec.kind is not AppKind.PASTE and spec.name is None:
        found = here.named(spec)
    return replace(found, why=f"[tool.superwsgi] in {_NAME} has app = {spec.label}", settings=said)


def _table(here: ProjectFolder) -> Mapping[str, object]:
    try:
        text = read_text(Path(here.path, _NAME), _LARGEST)
    except FileNotFoundError:
        return {}
    except UnusableFile as error:
        here.notes.append(f"{_NAME}: {error}")
        return {}
    try:
        tools = tomllib.loads(text).get("tool", {})
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        if _OURS in text:  # what it says of us is meant
            raise here.problem(f"{_NAME} is no TOML: {error}") from None
        here.notes.append(f"{_NAME}: {error}")
        return {}
    table = tools.get("superwsgi", {}) if isinstance(tools, dict) else {}
    if not isinstance(table, dict):
        raise here.problem(f"{_NAME}: tool.superwsgi is no table", "write [tool.superwsgi]")
    return table
