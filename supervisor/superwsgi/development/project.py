"""What is being developed: how its site is read, and where its files are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from superwsgi.config.schema import Site
from superwsgi.development import own
from superwsgi.development.watching import Watch
from superwsgi.project.folder import root_of
from superwsgi.project.found import Found

_CODE: Final = (".py", ".wsgi")

_TOPS: Final = ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "manage.py", ".git")
"""What lies in the top folder of a project."""


@dataclass(frozen=True)
class Project:
    """`why`: how the application was found, in the file `site_file` if that is one. `read` gives the site as
    it is written now, and raises ConfigError. Of the keys in `said` an option has spoken.
    What is `named` is watched, too: files, folders and globs."""

    why: str
    site_file: str | None
    read: Callable[[], Site]
    folder: str
    said: Set[str]
    named: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        found: Found,
        read: Callable[[], Site],
        said: Set[str],
        folder: str,
        watch: Sequence[str],
    ) -> Project:
        """What is relative in `watch` starts at `folder`, where the project was looked for."""
        named = tuple(_absolute(each, folder) for each in watch)
        return cls(found.why, found.site_file, partial(_read, read, said), folder, said, named)

    def watch(self, site: Site) -> Watch:
        """What to watch for it."""
        return Watch(tuple(self._folders(site)), frozenset(self._files(site)), self.named)

    def _folders(self, site: Site) -> Iterator[Path]:
        """Where its Python files are: from the top of the project on, if that is known. A file that lies
        elsewhere sees the modules beside it."""
        inner, top = Path(site.chdir), Path(self.folder)
        is_top = inner.is_relative_to(top) and any((top / name).exists() for name in _TOPS)
        watched = _plain(top if is_top else inner)
        yield watched
        beside = sorted({_plain(root_of(file)) for file in _files_of(site) if file.suffix in _CODE})
        yield from (each for each in beside if not each.is_relative_to(watched))

    def _files(self, site: Site) -> Iterator[Path]:
        """Others that say what runs: the site file, and what it names."""
        for file in (self.site_file, site.env_file):
            if file is not None:
                yield Path(os.path.abspath(file))  # noqa: PTH100 - as it is spelled, through its links
        yield from map(_plain, _files_of(site))


def _files_of(site: Site) -> Iterator[Path]:
    """Those of its applications that are named by their path."""
    for app in site.apps.values():
        file = app.removeprefix("paste:").partition("#")[0]
        yield from (Path(each) for each in (file, file.partition(":")[0]) if Path(each).is_file())


def _plain(path: Path) -> Path:
    """Without `..`, so that it can be told what is below it; through links only if need be."""
    return path.resolve() if ".." in path.parts else path


def _read(read: Callable[[], Site], said: Set[str]) -> Site:
    return own.without_production(read(), said)


def _absolute(named: str, folder: str) -> str:
    """A glob without a folder may be in any."""
    is_bare_glob = "/" not in named and any(mark in named for mark in "*?[")
    return str(Path(folder, "**" if is_bare_glob else "", named))
