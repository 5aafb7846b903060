"""The site as it runs while it is developed: what it is comes from the site file or the options, how it is
run is the same for all of them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, Final

from msgspec.structs import fields, replace

from superwsgi.config.given.environment import SOURCES
from superwsgi.config.listening import TcpAddress, speaks_tls
from superwsgi.config.schema import Site
from superwsgi.config.sections import Log, RollOutSettings
from superwsgi.development import names

_FROM_FILE: Final = (
    *("apps", "name", "chdir", "env", "env_file", "hooks", "limits", "paths"),
    *("threads", "green", "timeouts", "sources"),
    *("root", "static", "sendfile"),
)
"""Keys of a site file that say what the application is and what it is told. All others say how it is run in
production."""

_APP: Final = ("app", "apps")

_DECIDED: Final = frozenset(
    {
        *("workers", "preload", "rollout", "log", "limits.queue_age"),
        *(f"timeouts.{each}" for each in ("request", "keepalive", "graceful", "linger")),
    }
)
"""Keys that are the same for all, whoever says something else; but log.level is heard."""

_LONG: Final = 3600.0
"""Seconds that a request may take: somebody may be looking at it in a debugger."""

_MOMENT: Final = 1.0
"""Seconds that a connection without a request stays with old code: it may just be on its way."""

_SHORT: Final = 5.0
"""Seconds for the answers that old code has in hand, and that event streams of it stay."""


def described(site: Site, said: Set[str]) -> tuple[list[str], list[str]]:
    """The keys of a site file that are used, and those that are not, beside what options have `said`."""
    top = sorted({key.partition(".")[0] for key in site.sources} - said)
    used = [key for key in top if key in _FROM_FILE or key in _APP]
    return used, [key for key in top if key not in used]


def unheard(site: Site) -> list[str]:
    """The options that say what is decided here."""
    return sorted(
        {
            f"--set {key}" if source.text == "--set" else source.text
            for key, source in site.sources.items()
            if source.text.startswith("--") and _DECIDED & {key, key.partition(".")[0]} and key != "log.level"
        }
    )


def without_production(site: Site, said: Set[str]) -> Site:
    """What a site file says of its application, and nothing of how it is to be run, but for keys that the
    operator has `said`, on the command line or by $PORT and the like."""
    known = {each.name for each in fields(Site)}
    secured = {"tls"} if "bind" in said and any(map(speaks_tls, site.bind)) else set()
    kept = {*_FROM_FILE, *said, *_by_variable(site), *secured} & known
    values: dict[str, Any] = {key: getattr(site, key) for key in kept}
    return Site(**values)


def _by_variable(site: Site) -> set[str]:
    """The keys that the environment has set by itself: in a site file it only fills in values."""
    return {key for key, name in SOURCES.items() if key in site.sources and site.sources[key].text == name}


def to_run(site: Site, folder: Path, environ: Mapping[str, str]) -> Site:
    """The site with one worker that is exchanged as soon as possible, whose application is the wrapper, and
    whose logs go to the pipe in the private `folder`."""
    log = str(folder / names.LOG)
    asked = {"FLASK_DEBUG": "1", "PYTHONUNBUFFERED": "1"}
    env = {name: value for name, value in asked.items() if name not in environ}
    timeouts = replace(site.timeouts, request=_LONG, keepalive=0.0, graceful=_SHORT, linger=_MOMENT)
    return replace(
        site,
        apps={"/": names.APPLICATION},
        env={**env, **site.env, names.VARIABLE: str(folder)},
        workers=1,
        preload=False,
        timeouts=timeouts,
        limits=replace(site.limits, queue_age=0.0),
        rollout=RollOutSettings(proof=0.0, confirm=0.0, max_errors=1.0, max_failures=1),
        log=Log(level=site.log.level, style="json", format="json", access=log, error=log, slow=0.0),
    )


def is_private(site: Site) -> bool:
    """Whether nobody but this machine can ask it."""
    return all(isinstance(each, TcpAddress) and _is_loopback(each.host) for each in site.addresses)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
