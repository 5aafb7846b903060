"""Putting the units of a site into their places, and having systemd take them up; each step is told."""

from __future__ import annotations

import shlex
import subprocess
import time
from pathlib import Path, PurePosixPath
from typing import Final

import click

from superwsgi.cli.server.reach import fail
from superwsgi.control import CONFIGURATION, FAILED
from superwsgi.deployment import units, writing
from superwsgi.deployment.installation import Installation
from superwsgi.deployment.units import UnitFile
from superwsgi.deployment.writing import InTheWay

_PATIENCE: Final = 10.0
_PAUSE: Final = 0.1
_LAST: Final = "6"
"""Lines of the journal."""


def install(files: list[UnitFile], *, force: bool) -> None:
    """Write them, and show what changes."""
    if not force:
        _require_ours(files)
    for file in files:
        lines = _written(file)
        click.echo(f"{file.path}: {_what(lines)}")
        if lines and not _is_new(lines):
            click.echo("\n".join(lines))
    for path in _left_over(files, units.TMPFILES):
        Path(path).unlink(missing_ok=True)
        click.echo(f"{path}: removed; the site wants no such folders any more")


def _require_ours(files: list[UnitFile]) -> None:
    """Nothing of anybody else is replaced, and what ran for this site does not run on beside it."""
    try:
        writing.verify_ours(files)
    except InTheWay as error:
        fail(f"{error}: give the site another name, or replace it with --force", CONFIGURATION)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}", FAILED)
    old = _left_over(files, units.SYSTEM)
    if old:
        names = shlex.join(PurePosixPath(path).name for path in old)
        first = f"sudo systemctl disable --now {names} && sudo rm {shlex.join(old)}"
        fail(
            f"{', '.join(old)}: written for this site file when it had another name or other sockets, and in "
            f"the way of what it says now; nothing was written. Take that out first: {first}",
            CONFIGURATION,
        )


def _left_over(files: list[UnitFile], folder: str) -> list[str]:
    return [path for path in writing.left_over(files) if path.startswith(f"{folder}/")]


def _written(file: UnitFile) -> list[str]:
    """What changes in it."""
    try:
        lines = writing.difference(file)
        if lines:
            writing.replace(file.path, file.text)
    except FileNotFoundError:
        folder = PurePosixPath(file.path).parent
        fail(f"{file.path}: there is no {folder}: is this machine run by systemd?", FAILED)
    except OSError as error:
        fail(f"{file.path}: {error.strerror}; nothing after it was written", FAILED)
    return lines


def _what(lines: list[str]) -> str:
    if not lines:
        return "as it was"
    return "written" if _is_new(lines) else "changed"


def _is_new(lines: list[str]) -> bool:
    return lines[0].startswith("--- /dev/null")


def start(place: Installation, files: list[UnitFile], *, now: bool) -> None:
    """Have systemd read them; with `now` the site runs then, by what they say, and whenever the machine does.
    Otherwise the line for that is told."""
    paths = [file.path for file in files if file.path.startswith(units.SYSTEM)]
    service, *sockets = [PurePosixPath(path).name for path in paths]
    if not Path("/run/systemd/system").is_dir():  # sd_booted(3)
        click.echo("systemd does not run here; it reads them when it starts")
        return
    _load(files)
    behind = any(map(_is_behind, paths))
    if now:
        _enable(service, sockets, behind=behind)
        _tell(place, service)
    elif behind:
        click.echo(f"it runs as it was until: {shlex.join(['sudo', *_restart(service, sockets)])}")
    elif all(_asked(question, service) for question in ("is-active", "is-enabled")):
        click.echo(f"{service} runs by that already")
    else:
        enable = shlex.join(["sudo", "systemctl", "enable", "--now", *sockets, service])
        click.echo(f"start it, now and with the machine: {enable}")


def _is_behind(path: str) -> bool:
    """Whether that unit runs, and its file has been changed since it was started, if not by us."""
    name = PurePosixPath(path).name
    command = ["systemctl", "show", "--value", "-p", "InactiveExitTimestampMonotonic", name]
    began = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    age = time.monotonic() - int(began.stdout.strip() or 0) / 1e6
    return _asked("is-active", name) and time.time() - Path(path).stat().st_mtime < age


def _asked(question: str, name: str) -> bool:
    return _run("systemctl", question, "--quiet", name, must=False) == 0


def _restart(service: str, sockets: list[str]) -> list[str]:
    """In one go: systemd stops the service before its sockets, and starts it after them."""
    return ["systemctl", "restart", *sockets, service]


def _load(files: list[UnitFile]) -> None:
    for file in files:
        if file.path.startswith(units.TMPFILES):
            _run("systemd-tmpfiles", "--create", file.path)
    _run("systemctl", "daemon-reload")


def _enable(service: str, sockets: list[str], *, behind: bool) -> None:
    """What runs goes on as its unit was when it was started."""
    _run("systemctl", "enable", *sockets, service)
    command = _restart(service, sockets) if behind else ["systemctl", "start", *sockets, service]
    began = int(time.time())
    if _run(*command, must=False):
        fail(f"{service} does not start: {_why(service, began)}; sudo journalctl -u {service} -n 50", FAILED)


def _why(service: str, began: int) -> str:
    """What the master has told systemd; one that could not even listen has only written it. It was started
    at `began`, in seconds of the epoch."""
    if said := _status(service):
        return said
    _run("journalctl", "--sync", must=False)
    last = ["--since", f"@{began}", "-n", _LAST, f"_SYSTEMD_UNIT={service}"]
    _run("journalctl", "--no-pager", "--quiet", "-o", "cat", *last, must=False)
    return "its last words stand above"


def _tell(place: Installation, service: str) -> None:
    click.echo(f"{service} runs: {_settled(service)}")
    click.echo(f"new code:   sudo systemctl reload {service}")
    click.echo(f"logs:       sudo journalctl -u {service} -f")
    click.echo(f"how it is:  sudo {shlex.join([*place.command, 'status', place.site.name])}")


def _run(*command: str, must: bool = True) -> int:
    """Its exit code; one that must succeed and does not is the end."""
    try:
        code = subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode
    except OSError as error:
        fail(f"{command[0]}: {error.strerror}", FAILED)
    if code and must:
        fail(f"{shlex.join(command)}: exit code {code}; what it says stands above", FAILED)
    return code


def _settled(service: str) -> str:
    """Its status once all workers serve, or after a while: systemd goes on when the first one does."""
    deadline = time.monotonic() + _PATIENCE
    while not (said := _status(service)).startswith("healthy") and time.monotonic() < deadline:
        time.sleep(_PAUSE)
    return said


def _status(service: str) -> str:
    """What the master has told systemd last."""
    command = ["systemctl", "show", "--value", "-p", "StatusText", service]
    said = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return said.stdout.strip()
