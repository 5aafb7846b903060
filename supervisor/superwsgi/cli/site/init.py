"""`superwsgi init`: a site file for the project that is there, or what others need that stand around the
site."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path
from typing import Final

import click

from superwsgi.cli.server.reach import fail
from superwsgi.cli.site.serve import read_or_exit
from superwsgi.config.errors import ConfigError
from superwsgi.config.links import as_spelled
from superwsgi.config.loading import load
from superwsgi.control import CONFIGURATION
from superwsgi.deployment import known, site_file, writing
from superwsgi.deployment.around import kinds
from superwsgi.deployment.here import of_process
from superwsgi.deployment.text.escaping import Unspeakable
from superwsgi.project.finding import SITE_FILES, find
from superwsgi.project.found import Found

_NAME: Final = "site.yaml"
_STDOUT: Final = "-"


@click.command(short_help="Write a site file for the project in a folder.")
@click.argument("target", metavar="[FOLDER]", required=False)
@click.option("-o", "--output", metavar="FILE", help=f"Write it there; - is stdout.  [{_NAME} in FOLDER]")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option(
    "--for",
    "kind",
    type=click.Choice(tuple(kinds.KINDS)),
    help="Instead, what this one needs for the site that is there; to stdout.",
)
@click.option("-c", "--config", "path", metavar="FILE", help="With --for: the site file.  [site.yaml]")
def init(target: str | None, output: str | None, force: bool, kind: str | None, path: str | None) -> None:
    """Write a site file for the project in FOLDER, by default this one: its application, its .env and its
    settings as far as they can be found, and what else may be wanted as comments. Nothing is asked, no code
    is run and no file is replaced. Instead of a folder, the application can be named:
    `shop.wsgi:application`.

    \b
    Exit codes: 0 written, 2 no application found, several, or a file is there already.
    """
    if kind is not None:
        _for(kind, path or target, output, force=force)
        return
    if path is not None:
        raise click.UsageError(f"-c is for --for; a site file is written by: {as_typed()} init -o {path}")
    found = _find(target, "init")
    if found.site_file is not None:
        raise click.UsageError(
            f"name the project's folder, or what runs there; {target} is written by: -o {target}"
        )
    folder = _folder(target, found)
    file = folder / _NAME if output in (None, _STDOUT) else Path(as_spelled(str(output)))
    if output is None and not force:
        _require_none(folder)
    project, notes = known.project(found, file, os.environ)
    for note in notes:
        click.echo(f"warning: not used: {note}", err=True)
    text = site_file.text(project, file.name)
    if output == _STDOUT:
        click.echo(text, nl=False)
        return
    put(file, text, force=force)
    _tell(project, file)


def _folder(target: str | None, found: Found) -> Path:
    """Where the site file goes: the folder that was named, unless that is a package of the project here."""
    here, named = Path(as_spelled(".")), Path(as_spelled(target or "."))
    return named if named.is_dir() and Path(found.folder).is_relative_to(named) else here


def _require_none(folder: Path) -> None:
    """Two site files in a folder would be one too many for whoever looks for one. Ends the program."""
    for name in SITE_FILES:
        if os.path.lexists(folder / name):
            fail(_there(_shown(folder / name)), CONFIGURATION)


def _for(kind: str, target: str | None, output: str | None, *, force: bool) -> None:
    """What stands around a site, by its site file."""
    found = _find(target, "run")
    if found.site_file is None:
        fail(f"that goes by a site file, and there is none yet: {as_typed()} init", CONFIGURATION)
    path = _shown(Path(found.site_file))
    site = read_or_exit(path)
    try:
        made = kinds.KINDS[kind](of_process(site, path, None, os.environ))
    except (ConfigError, Unspeakable) as error:
        fail(str(error), CONFIGURATION)
    for note in made.notes:
        click.echo(f"note: {note}", err=True)
    if output in (None, _STDOUT):
        for name in made.beside:
            if not Path(found.site_file).with_name(name).exists():
                click.echo(f"note: {name} belongs beside it, and is not there: -o FILE writes both", err=True)
        click.echo(made.text, nl=False)
        return
    file = Path(as_spelled(str(output)))
    put(file, made.text, force=force)
    click.echo(f"{_shown(file)}: written for the site {site.name}")
    for name, text in made.beside.items():
        with contextlib.suppress(FileExistsError):  # it may say more than ours
            writing.create(str(file.with_name(name)), text)
            click.echo(f"{_shown(file.with_name(name))}: written")


def _find(target: str | None, command: str) -> Found:
    """Errors end the program."""
    try:
        return find(target, os.environ, command=command)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(CONFIGURATION)


def put(file: Path, text: str, *, force: bool) -> None:
    """Write it, and overwrite nothing unless that is asked for. Errors end the program."""
    try:
        if force:
            writing.replace(str(file), text)
        else:
            writing.create(str(file), text)
    except FileExistsError:
        fail(_there(_shown(file)), CONFIGURATION)
    except OSError as error:
        fail(f"{_shown(file)} cannot be written: {error.strerror}", CONFIGURATION)


def _there(file: str) -> str:
    return f"{file} is there already, and nothing was written; --force replaces it"


def _tell(project: site_file.KnownProject, file: Path) -> None:
    """What was written, and why; then the next step."""
    click.echo(f"{_shown(file)}: written for the site {project.name}")
    click.echo(f"  app       {project.app}: {project.why}")
    if project.chdir is not None:
        click.echo(f"  chdir     {project.chdir}, where its code is")
    if project.env_file is not None:
        click.echo(f"  env_file  {project.env_file}, which is there")
    for name, value in project.env.items():
        click.echo(f"  env       {name}: {value}")
    for key in project.settings:
        click.echo(f"  {key:9} as the project has it")
    if "health" not in project.settings:
        click.echo("  health    /livez and /readyz, which superwsgi answers itself")
    try:
        load(file, os.environ)
    except ConfigError as error:
        click.echo(f"It is not right yet:\n{error}", err=True)
    command, shown = as_typed(), _shown(file)
    click.echo(f"next:   {command} check -c {shown}")
    click.echo(f"then:   {command} -c {shown}")
    click.echo(f"or, under systemd:   {command} unit -c {shown} --install")


def as_typed() -> str:
    """How superwsgi is called from this shell."""
    program = sys.argv[0]
    if Path(program).name != "superwsgi" or shutil.which("superwsgi") == program:
        return "superwsgi"
    return _shown(Path(program))


def _shown(path: Path) -> str:
    """As seen from the working folder, where it is below that."""
    here = Path(as_spelled("."))
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
