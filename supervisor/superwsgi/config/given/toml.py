"""`[tool.superwsgi]` of pyproject.toml: keys of a site file in TOML, as the tree that a site file is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from superwsgi.config.errors import Problem, SourcePlace
from superwsgi.config.given.merging import merged
from superwsgi.config.given.settings import Setting
from superwsgi.config.text.tree import Keys

_PLACE: Final = SourcePlace("[tool.superwsgi] of pyproject.toml")


class Table:
    """`values` by key, each a text of YAML or what TOML has; relative paths in them start at `folder`."""

    def __init__(self, values: Mapping[str, object], folder: Path) -> None:
        self._values = values
        self._folder = folder

    def tree(
        self, environ: Mapping[str, str], problems: list[Problem], private: frozenset[str] = frozenset()
    ) -> Keys:
        """With `${NAME}` as in a site file; `problems` gets what is wrong with a value."""
        top = Keys()
        for key, value in self._values.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            top = merged(top, Setting(key, text, self._folder, _PLACE).tree(environ, problems, private))
        return top
