"""What a developer is told at the start."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from superwsgi import __version__, build
from superwsgi.config.schema import Site
from superwsgi.development import own
from superwsgi.development.project import Project
from superwsgi.development.watching import Watch

_TABLE: Final = "[tool.superwsgi]"
"""What is named as the source of its keys."""

INSTALL: Final = "pip install 'superwsgi[dev]'"


def title() -> str:
    compiled = "compiled" if build.is_compiled() else "not compiled"
    return f"superwsgi {__version__}, Python {build.python()}, {compiled}"


def facts(
    project: Project, site: Site, addresses: Iterable[str], *, watches: bool
) -> Iterator[tuple[str, str]]:
    """A name and a value each."""
    for each in addresses:
        yield "address", site.page(each)
    yield "application", f"{_apps(site)} ({project.why})"
    yield "runs", f"1 worker, {_threads(site)}"
    yield "watches", ", ".join(_watched(project.watch(site))) if watches else f"nothing: {INSTALL}"
    variables = Path(site.chdir, ".env")
    if site.env_file is None and variables.is_file():
        below = variables.is_relative_to(project.folder)
        typed = variables.relative_to(project.folder) if below else variables
        yield "environment", f".env is not read: for that, --env-file {shlex.quote(str(typed))}"
    if not own.is_private(site):
        yield "debugger", "off: other machines may reach an address that is not of 127.0.0.1"
    yield from _keys(project, site)
    yield "to end it", "Ctrl-C"


def _apps(site: Site) -> str:
    if list(site.apps) == ["/"]:
        return site.apps["/"]
    return ", ".join(f"{place}: {app}" for place, app in site.apps.items())


def _threads(site: Site) -> str:
    if site.green:
        return f"{site.green} greenlets"
    few, many = site.elastic.min, site.elastic.max
    return f"{few} threads" if few == many else f"{few} to {many} threads"


def _watched(watch: Watch) -> Iterator[str]:
    yield from (f"*.py in {_short(folder)}" for folder in watch.folders)
    yield from (_short(file) for file in sorted(watch.files))
    yield from (_short(Path(each)) for each in watch.more)


def _short(path: Path) -> str:
    """A path as it is shown: from the working folder on, if it is below that."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _keys(project: Project, site: Site) -> Iterator[tuple[str, str]]:
    """Those of the site file, or else of the project's table."""
    said = {key.partition(".")[0] for key, source in site.sources.items() if source.text == _TABLE}
    is_file = project.site_file is not None
    used, unused = (
        [key for key in keys if is_file or key in said] for keys in own.described(site, project.said)
    )
    if is_file or said:
        yield "site file" if is_file else "pyproject", f"used: {', '.join(used) or 'nothing'}"
    if unused:
        yield "", f"not used here: {', '.join(unused)}"
    if unheard := own.unheard(site):
        yield "options", f"not used here: {', '.join(unheard)}"
