"""The options of a site that is described by a command line: those of `run`, which `dev` shares."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from superwsgi.config.errors import ConfigError
from superwsgi.config.given.command_line import CommandLine, Value
from superwsgi.config.given.environment import EVERYWHERE
from superwsgi.config.given.toml import Table
from superwsgi.config.links import as_spelled
from superwsgi.config.loading import SiteReading, read, read_application
from superwsgi.config.schema import Site
from superwsgi.config.sources import Source
from superwsgi.control import CONFIGURATION
from superwsgi.project.finding import find
from superwsgi.project.found import Found

_KEYS: Final = {
    "bind": "bind",
    "certificate": "tls.certificate",
    "key": "tls.key",
    "workers": "workers",
    "threads": "threads",
    "name": "name",
    "preload": "preload",
    "user": "user",
    "group": "group",
    "log_level": "log.level",
    "trusted": "proxy.trusted",
    "control": "control",
    "env": "env",
    "env_file": "env_file",
}
"""The keys of the site file that have an option of their own, by its parameter."""

OPTION_OF: Final = {"chdir": "--chdir", **{key: f"--{name.replace('_', '-')}" for name, key in _KEYS.items()}}
"""That option, by key."""


@dataclass(frozen=True)
class SiteOptions:
    """What the operator has typed. `folder` is that of --chdir, absolute: TARGET and all relative paths start
    there. `chdir` is what was said of it, if anything was."""

    folder: str
    chdir: str | None
    said: CommandLine

    def but(self, settings: Mapping[str, str]) -> SiteOptions:
        """With these settings, as of --set, where the operator has said nothing."""
        defaults = (*self.said.defaults, *settings.items())
        return replace(self, said=replace(self.said, defaults=defaults))


def find_site(target: str | None, options: SiteOptions, command: str) -> Found:
    """What `command` is to serve. Raises ConfigError."""
    if target == "":  # a variable of a shell that is not set, hardly this folder
        raise click.UsageError(f"TARGET is empty: for what this folder has type superwsgi {command}")
    if target is None and any(key.partition(".")[0] in ("app", "apps") for key, _ in options.said.settings):
        return Found("", options.folder, "")
    given = options.said.options.get("env")
    environ = {**os.environ, **given} if isinstance(given, Mapping) else os.environ
    return find(target, environ, options.folder, command=command)


def is_news(target: str | None, found: Found) -> bool:
    """Whether the operator has not named the application, or the site file, himself."""
    what = found.app if found.site_file is None else Path(found.site_file).name
    named = target is not None and what in (target, Path(target).name)
    return bool(found.why) and not named and not found.why.endswith(" was named")


def site_from(found: Found, options: SiteOptions, *, port_host: str = EVERYWHERE) -> Site:
    """What was found, with what the options say; they win over a site file. `port_host` is where $PORT is a
    port of. Raises ConfigError."""
    return reading_from(found, options, port_host=port_host).faultless()


def reading_from(found: Found, options: SiteOptions, *, port_host: str = EVERYWHERE) -> SiteReading:
    """As `site_from`, also where something is wrong. Raises ConfigError for a site file of which nothing can
    be read."""
    if found.site_file is not None:
        return read(found.site_file, os.environ, options.said)
    reading = read_application(
        found.app or None,
        found.folder,
        found.why or "TARGET",
        options.said,
        os.environ,
        env=found.env,
        table=Table(found.settings, _of_project(Path(found.folder))),
        port_host=port_host,
    )
    if options.chdir is None:
        return reading
    sources = {**reading.site.sources, "chdir": Source("--chdir")}
    return replace(reading, site=msgspec.structs.replace(reading.site, sources=sources))


def _of_project(folder: Path) -> Path:
    """Where pyproject.toml is; that may be above of `src/`."""
    return next((each for each in (folder, folder.parent) if Path(each, "pyproject.toml").is_file()), folder)


def site_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command these options; it is called with `options`, which are SiteOptions."""

    @functools.wraps(command)
    def with_options(chdir: str | None, settings: Sequence[tuple[str, str]], **rest: Any) -> Any:
        given = {name: rest.pop(name) for name in _KEYS}
        try:
            folder = as_spelled(chdir or ".")
        except ConfigError as error:
            click.echo(str(error), err=True)
            sys.exit(CONFIGURATION)
        named: dict[str, Value] = {
            key: given[name] if isinstance(given[name], Mapping | tuple) else str(given[name])
            for name, key in _KEYS.items()
            if given[name] is not None
        }
        said = CommandLine(named, OPTION_OF, settings, folder=Path(folder))
        return command(options=SiteOptions(folder, chdir, said), **rest)

    for option in reversed(_OPTIONS):
        with_options = option(with_options)
    return with_options


def _assignments(form: str, example: str) -> Callable[[click.Context, click.Parameter, Sequence[str]], Any]:
    """Reads what was written as `form`; the value is everything behind the first `=`."""

    def read(_: click.Context, parameter: click.Parameter, given: Sequence[str]) -> Any:
        option = parameter.opts[-1]
        if not all(re.match(r"\s*[^\s=]", text) and "=" in text for text in given):
            raise click.UsageError(f"{option} takes {form}, as in {option} {example}")
        return tuple((key.strip(), value) for key, _, value in (text.partition("=") for text in given))

    return read


def _variables(context: click.Context, parameter: click.Parameter, given: Sequence[str]) -> Any:
    return dict(_assignments("NAME=VALUE", "DEBUG=0")(context, parameter, given)) or None


def _addresses(_: click.Context, __: click.Parameter, given: Sequence[str]) -> Any:
    return tuple(given) or None


def _networks(_: click.Context, __: click.Parameter, given: Sequence[str]) -> Any:
    """None where the option was not given; '' believes nobody."""
    each = (each.strip() for text in given for each in text.split(","))
    return tuple(filter(None, each)) if given else None


_OPTIONS: Final = (
    click.option(
        "-b",
        "--bind",
        multiple=True,
        callback=_addresses,
        metavar="ADDRESS",
        help="host:port, [IPv6]:port, https://host:port or unix:/path; repeatable.  [$PORT of all addresses, "
        "or 127.0.0.1:8000]",
    ),
    click.option("-w", "--workers", metavar="N", help="Worker processes.  [$WEB_CONCURRENCY, or one a CPU]"),
    click.option("-t", "--threads", metavar="N", help="Requests that a worker runs at once.  [4 to 32]"),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        callback=_assignments("KEY=VALUE", "timeouts.request=5m"),
        help="Any key of a site file, as in --set timeouts.request=5m; repeatable. `superwsgi reference` has "
        "them all.",
    ),
    click.option(
        "-e",
        "--env",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_variables,
        help="An environment variable for the application; repeatable.",
    ),
    click.option("--env-file", metavar="FILE", help="More of them, a line each.  [none]"),
    click.option("--chdir", metavar="FOLDER", help="Where TARGET and relative paths start.  [.]"),
    click.option(
        "--name", metavar="NAME", help="What `superwsgi status` calls it.  [the module or the folder]"
    ),
    click.option(
        "--preload/--no-preload",
        default=None,
        help="Import the application once, before the workers are forked.  [unless that would break it]",
    ),
    click.option(
        "--user", metavar="USER", help="Who the workers run as, once sockets are bound.  [the same]"
    ),
    click.option("--group", metavar="GROUP", help="Their group.  [that of the user]"),
    click.option("--certificate", metavar="FILE", help="PEM file of certificate and chain, for https://."),
    click.option("--key", metavar="FILE", help="PEM file of its key, unless that is in the same file."),
    click.option(
        "--trusted",
        multiple=True,
        metavar="NETWORKS",
        callback=_networks,
        help="Proxies to believe about their clients, as in 10.0.0.0/8,unix; repeatable.  [this machine]",
    ),
    click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error.  [info]"),
    click.option("--control", metavar="SOCKET", help="Socket for `superwsgi status`, or off.  [by the name]"),
)
