"""Paths as the operator spells them, and the symbolic links in them.

Releases are deployed by switching a link (`current`). So a path is made absolute without following links;
to stay with one release, the links are followed once, and all paths through them are pinned.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from superwsgi.config.errors import ConfigError, Problem

Links = tuple[tuple[str, str], ...]
"""(link, the folder that it leads to), both absolute, the longest link first."""


def working_folder(environ: Mapping[str, str] = os.environ) -> str:
    """The working folder as the shell spells it, $PWD, while that is the same one (as pwd(1) without -P).

    Else the kernel's, by the link through which this program was called, if that leads there: systemd and
    sudo tell no $PWD. Raises ConfigError where it has been removed.
    """
    spelled = environ.get("PWD", "")
    if spelled.startswith("/") and _is_here(spelled):
        return spelled
    try:
        here = str(Path.cwd())
    except OSError:
        raise ConfigError(
            [Problem(None, "the working folder has been removed", "cd into it again")]
        ) from None
    called = [path for path in (sys.argv[0], sys.executable) if Path(path).is_absolute()]
    return through_links(here, links_in(called))


def _is_here(folder: str) -> bool:
    try:
        return Path(folder).samefile(".")
    except OSError:
        return False


def as_spelled(path: str | os.PathLike[str], environ: Mapping[str, str] = os.environ) -> str:
    """The path made absolute, with the links that are in it. Raises ConfigError as `working_folder`."""
    return str(path if Path(path).is_absolute() else Path(working_folder(environ), path))


def links_in(paths: Iterable[str]) -> Links:
    """The links among the folders that these absolute paths lead through, each followed once, now."""
    links: Links = ()
    for folder in sorted({folder for path in paths for folder in _folders(path)}, key=len):
        here = pin(folder, links)
        if _is_link(here):
            links = ((folder, os.path.realpath(here)), *links)
    return links


def _is_link(folder: str) -> bool:
    try:
        return Path(folder).is_symlink()
    except OSError:  # not ours to look at
        return False


def _folders(path: str) -> Iterator[str]:
    """`/srv`, `/srv/app` and `/srv/app/current` for the last of them."""
    for end, char in enumerate(f"{path}/"):
        if char == "/" and end:
            yield path[:end]


def pin(path: str, links: Links) -> str:
    """The path with the longest link that it leads through followed; without one, as it is."""
    return next((leads_to + rest for link, leads_to, rest in _through(path, links)), path)


def through_links(path: str, links: Links) -> str:
    """The other way round: a path that leads where one of the links does, by that link."""
    inverse = tuple((leads_to, link) for link, leads_to in links)
    return next((link + rest for _, link, rest in _through(path, inverse)), path)


def _through(path: str, links: Links) -> Iterator[tuple[str, str, str]]:
    """Those that the path begins with, and what follows them in it."""
    for link, leads_to in links:
        if path == link or path.startswith(f"{link}/"):
            yield link, leads_to, path[len(link) :]
