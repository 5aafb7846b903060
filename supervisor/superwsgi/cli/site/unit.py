"""`superwsgi unit`: what systemd needs to run this very site, shown or put in its place."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence

import click

from superwsgi.cli.server.reach import fail
from superwsgi.cli.site import installing
from superwsgi.cli.site.serve import read_or_exit, site_file_here
from superwsgi.config.errors import ConfigError, Problem
from superwsgi.config.links import as_spelled
from superwsgi.config.listening import InheritedAddress
from superwsgi.config.schema import Site
from superwsgi.config.surprises import surprises
from superwsgi.control import CONFIGURATION
from superwsgi.deployment import access, units
from superwsgi.deployment.here import of_process
from superwsgi.deployment.installation import DYNAMIC, Installation
from superwsgi.deployment.text.escaping import Unspeakable

_THEN = """systemd hears when the site serves, of each reload and why the site is degraded, and restarts a
master that hangs; it keeps the listening sockets meanwhile. With `bind: systemd` it binds the address itself.

\b
superwsgi unit                                 print it
sudo .venv/bin/superwsgi unit --install --now  install and start it
systemctl reload superwsgi-shop                new code; fails if that does not take over
journalctl -u superwsgi-shop -p warning        each line has its priority
systemctl disable --now superwsgi-shop         and remove the files that are printed, to take it out

For many sites with one unit see systemd/superwsgi@.service in superwsgi's repository.
"""


@click.command(epilog=_THEN, short_help="Print the systemd units for a site, or install them.")
@click.argument("file", metavar="[FILE]", required=False)
@click.option("-c", "--config", "path", metavar="FILE", help="The site file, as FILE.  [site.yaml]")
@click.option(
    "--user",
    metavar="NAME",
    help=f"Who it runs as; {DYNAMIC}: one of systemd's.  [the site's; the project's owner, unless root]",
)
@click.option(
    "--listen",
    "addresses",
    multiple=True,
    metavar="[NAME=]ADDRESS",
    help="What the socket unit of `bind: systemd` listens on: a port, host:port or a path.  [80, or 443]",
)
@click.option(
    "--writable", multiple=True, metavar="FOLDER", help="One more folder that the site may write to."
)
@click.option("--install", is_flag=True, help="Write them to /etc and have systemd read them; needs root.")
@click.option("--now", is_flag=True, help="With --install: start the site, now and with the machine.")
@click.option(
    "--force", is_flag=True, help="With --install: also replace files that were not written for this site."
)
def unit(
    file: str | None,
    path: str | None,
    user: str | None,
    addresses: tuple[str, ...],
    writable: tuple[str, ...],
    install: bool,
    now: bool,
    force: bool,
) -> None:
    """Print what systemd needs to run this very site: a service, where the site file says `bind: systemd` a
    socket, and folders that have to be made. They name this superwsgi, the project's user and its paths.

    The site may write to its project, to /var/lib/superwsgi/NAME, /run/superwsgi/NAME,
    /var/log/superwsgi/NAME and to what the site file names; it sees no other home. A project of root's gets a
    user of systemd's own. Variables come from /etc/default/superwsgi-NAME. What is too strict,
    `systemctl edit superwsgi-NAME` takes back.

    \b
    Exit codes: 0 printed or installed, 1 systemd has refused it, 2 usage or configuration.
    """
    if now and not install:
        raise click.UsageError("--now starts what --install has put in its place: give both")
    path = path or file or _site_file()
    site = read_or_exit(path)
    more = tuple(as_spelled(folder) for folder in writable)
    try:
        place = of_process(site, path, user, os.environ)
        files = units.files(place, sockets(site, addresses), more)
    except (ConfigError, Unspeakable) as error:
        fail(str(error), CONFIGURATION)
    for trouble in (*surprises(site), *access.troubles(place, more), *_variables(place)):
        click.echo(f"warning: {trouble}", err=True)
    sudo = _sudo(place, _given(user=user, listen=addresses, writable=more), now=now, force=force)
    if not install:
        click.echo("\n".join(f"# {file.path}\n{file.text}" for file in files), nl=False)
        click.echo(f"superwsgi: to install it: {sudo}", err=True)
    elif os.geteuid() != 0:
        fail(f"only root can write to {units.SYSTEM}: {sudo}", CONFIGURATION)
    else:
        installing.install(files, force=force)
        installing.start(place, files, now=now)


def sockets(site: Site, addresses: Sequence[str]) -> dict[str, str]:
    """The address of each socket unit that the site file asks for, by its name there; `addresses` are
    `[NAME=]ADDRESS`. Raises ConfigError."""
    for each in site.bind:
        if isinstance(each, InheritedAddress) and each.fd is not None:
            hint = "write bind: systemd, for the socket of a unit"
            raise ConfigError([Problem(None, f"bind: {each}: systemd passes none by that number", hint)])
    names = units.socket_names(site)
    said = dict(_named(address, names) for address in addresses)
    if strange := [name for name in said if name not in names]:
        hint = f"there is {', '.join(map(repr, names))}" if names else "write bind: systemd there"
        address = said[strange[0]]
        raise ConfigError([Problem(None, f"--listen {address}: the site file binds no such socket", hint)])
    missing = [name for name in names if name not in said]
    if len(names) > 1 and missing:
        hint = " ".join(f"--listen {name or 'systemd'}=ADDRESS" for name in missing)
        raise ConfigError([Problem(None, "the site file binds several sockets of systemd", f"give {hint}")])
    return {name: said.get(name, _usual(site)) for name in names}


def _named(address: str, names: list[str]) -> tuple[str, str]:
    name, equals, rest = address.partition("=")
    if not equals:
        return (names[0] if len(names) == 1 else ""), address
    return ("" if name == "systemd" else name), rest


def _usual(site: Site) -> str:
    return "443" if any(isinstance(each, InheritedAddress) and each.tls for each in site.bind) else "80"


def _variables(place: Installation) -> Iterator[str]:
    """What is in this environment and will not be in that of the service."""
    if place.variables:
        names = ", ".join(place.variables)
        then = f"write NAME=value into {units.VARIABLES}/{place.unit}"
        yield f"the site file takes {names} from the environment: {then}"


def _given(**options: str | tuple[str, ...] | None) -> list[str]:
    """Options as they were given, to be given again."""
    words = []
    for name, value in options.items():
        for each in (value,) if isinstance(value, str) else value or ():
            words += [f"--{name}", each]
    return words


def _sudo(place: Installation, options: list[str], *, now: bool, force: bool) -> str:
    """The line that installs it, with this superwsgi whatever root has on its PATH."""
    flags = ["--install", *(["--now"] if now else []), *(["--force"] if force else [])]
    return shlex.join(["sudo", *place.command, "unit", "-c", place.file, *options, *flags])


def _site_file() -> str:
    """That of this folder; without one, the exit code of a usage error."""
    found = site_file_here()
    if found is None:
        fail("no site.yaml here: name the site file (-c FILE), or make one: superwsgi init", CONFIGURATION)
    return found
