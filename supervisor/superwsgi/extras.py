"""Keys of the site file that need a package which superwsgi does not bring: the extra that has it. Looked for
at a start, a reload and by `superwsgi check`, and by a mold once more, which may have another environment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from superwsgi.config.errors import ConfigError, Problem
from superwsgi.config.schema import Site


@dataclass(frozen=True, slots=True)
class Extra:
    """`pip install 'superwsgi[name]'` for `key`, whose first word is the name."""

    key: str
    package: str
    instead: str
    """What to do without it."""
    is_needed: Callable[[Site], bool]

    @property
    def name(self) -> str:
        return self.key.partition(".")[0]

    def lacking(self, site: Site) -> Problem | None:
        """Why the site cannot use the key; None if it does not, or the package is there."""
        if not self.is_needed(site) or find_spec(self.package.replace("-", "_")) is not None:
            return None
        problem = f"{self.name} needs {self.package}, which is not installed"
        return Problem(None, problem, f"python -m pip install 'superwsgi[{self.name}]', or {self.instead}")


ADMIN: Final = Extra("admin.bind", "prometheus-client", "leave admin out", lambda site: bool(site.admin.bind))
STATIC: Final = Extra("static", "whitenoise", "leave static out", lambda site: bool(site.static))
GREEN: Final = Extra("green", "gevent", "use threads", lambda site: bool(site.green))

_ALL: Final = (ADMIN, STATIC, GREEN)


def needed(site: Site) -> Iterator[str]:
    """The names of extras to install with superwsgi."""
    return (each.name for each in _ALL if each.is_needed(site))


def lacking(site: Site) -> Iterator[tuple[str, Problem]]:
    """Each key whose package is not there, and what to do."""
    for each in _ALL:
        problem = each.lacking(site)
        if problem is not None:
            yield each.key, problem


def require(site: Site) -> None:
    """Raises ConfigError."""
    problems = [problem for _, problem in lacking(site)]
    if problems:
        raise ConfigError(problems)
