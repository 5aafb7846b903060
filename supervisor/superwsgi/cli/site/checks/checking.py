"""What `superwsgi check` does; what it imports is more than most commands need."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

import click
import psutil

from superwsgi.checking.addresses import RunningSite
from superwsgi.checking.checked import Checked
from superwsgi.checking.checked import check as check_all
from superwsgi.checking.explain.explaining import explain as explain_site
from superwsgi.checking.explain.facts import gather
from superwsgi.checking.explain.sections import Section
from superwsgi.cli.server.which import Which, find
from superwsgi.cli.site.checks import explained, findings
from superwsgi.cli.site.options import SiteOptions, find_site, is_news, reading_from
from superwsgi.cli.site.serve import site_file_here
from superwsgi.config.errors import ConfigError
from superwsgi.config.links import as_spelled
from superwsgi.control import APP_NOT_LOADED, CONFIGURATION
from superwsgi.log.spelling import printable
from superwsgi.master.control.paths import OFF
from superwsgi.project.found import Found

_ANYONE: Final = Which(None, None, None)


def check(target: str | None, path: str | None, explain: bool, as_json: bool, options: SiteOptions) -> None:
    name = path or target or "."
    try:
        found = _found(target, path, options)
        name = found.site_file or name
        if is_news(target, found) and not as_json:
            click.echo(f"superwsgi: {printable(found.why)}", err=True)
        reading = reading_from(found, options)
    except ConfigError as error:
        _give_up(error, name, as_json=as_json)
    running = list(_running(found, reading.site.name, reading.site.control))
    checked = check_all(reading, running, findings.tell)
    if as_json:
        click.echo(findings.in_json(checked, found.site_file, _sections(checked)))
    else:
        findings.report(checked, name)
        if explain:
            click.echo("\n".join(["", *explained.lines(_sections(checked))]), nl=False)
    if checked.wrong:
        sys.exit(APP_NOT_LOADED if all(each.loading for each in checked.wrong) else CONFIGURATION)


def _found(target: str | None, path: str | None, options: SiteOptions) -> Found:
    """A file as it was spelled, or whatever `run` would find. Raises ConfigError."""
    if target is not None and path is not None:
        raise click.UsageError("give only one of TARGET and -c FILE")
    here = options.chdir is None
    if target is None and path is None and here:
        path = site_file_here()
    elif target is not None and here and Path(target).suffix in (".yaml", ".yml"):
        path = target
    if path is not None:
        return Found("", options.folder, "", site_file=path)
    return find_site(target, options, "check")


def _give_up(error: ConfigError, name: str, *, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(findings.unreadable(error, name))
    else:
        click.echo(str(error), err=True)
        if any(problem.place is not None for problem in error.problems):
            click.echo(f"{name}: nothing else was looked at: it cannot be read any further", err=True)
    sys.exit(CONFIGURATION)


def _running(found: Found, name: str, control: str | None) -> Iterator[RunningSite]:
    """The sites that run, and which is the one of that name; its `control` socket may be elsewhere."""
    file = None if found.site_file is None else as_spelled(found.site_file)
    own = [] if control in (None, OFF) else find(Which(None, None, control))
    seen: set[int] = set()
    for each in [*find(_ANYONE), *own]:
        if (served := each.served) is None or served.pid in seen:
            continue
        seen.add(served.pid)
        if file is not None:
            this = each.serves(file)
        else:  # what `run` serves is known by its name, and by where it was started
            this = served.file is None and served.site == name and _is_here(served.pid)
        yield RunningSite(served.site, served.file, served.pid, this)


def _is_here(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).cwd() == os.getcwd()  # noqa: PTH109 - both as the kernel has them
    return False


def _sections(checked: Checked) -> list[Section]:
    return explain_site(checked.reading.site, gather(checked, time.time()))
