"""The site that this very superwsgi is to serve, on this machine: who and where it would be. Folders and
users are looked at, nothing is changed.
"""

from __future__ import annotations

import dataclasses
import os
import pwd
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from superwsgi.config.errors import ConfigError, Problem
from superwsgi.config.links import as_spelled, links_in
from superwsgi.config.schema import Site
from superwsgi.deployment import folders
from superwsgi.deployment.installation import DYNAMIC, ROOT, Installation
from superwsgi.master.release import Origin
from superwsgi.system import machine
from superwsgi.system.privileges import PrivilegeError, account

_REFERENCE: Final = re.compile(r"\$\{(\w+)\}(?! of )")
_IN_SHEBANG: Final = re.compile(r"[\w./+@-]{1,100}")


def of_process(site: Site, path: str, user: str | None, environ: Mapping[str, str]) -> Installation:
    """The site of the file at `path`, for this very superwsgi. `user` is whom the operator has named.

    Raises ConfigError.
    """
    file = as_spelled(path)
    python = Origin.of_process(site.chdir, file).python
    libraries = _libraries(python)
    name, owner = _who(site, user)
    place = Installation(
        site=site,
        file=file,
        command=_command(python),
        folders=libraries,
        user=name,
        owner=owner,
        workers=machine.workers(*site.worker_bounds)[1],
        variables=_variables(site, environ),
        links=links_in([file, site.chdir, python, *libraries]),
    )
    return dataclasses.replace(place, others=frozenset(_others(place)))


def _others(place: Installation) -> Iterator[str]:
    """Folders that the site would write to, and that are there and not its user's."""
    uid = None if place.user == DYNAMIC else account(place.user).uid
    for path in folders.written(place):
        try:
            its = Path(path).stat()
        except OSError:  # it has to be made
            continue
        if its.st_uid != uid:
            yield path


def _who(site: Site, named: str | None) -> tuple[str, bool]:
    """The operator's word, then the site's, then whoever owns the project, but not root: that would have to
    be asked for."""
    try:
        owner = Path(site.chdir).stat().st_uid
    except OSError as error:
        problem = Problem(
            None, f"chdir: {site.chdir}: {error.strerror}", "that is where the project has to be"
        )
        raise ConfigError([problem]) from None
    if named == DYNAMIC:
        return DYNAMIC, False
    if site.user is not None and named not in (None, site.user, ROOT):
        message = f"the site file says user: {site.user}, and only root can become another user"
        raise ConfigError(
            [Problem(None, message, f"--user {site.user} or --user root, or change the site file")]
        )
    wanted = named or site.user
    if wanted is None:
        return (_name(owner), True) if owner != 0 else (DYNAMIC, False)
    try:
        who = account(wanted)
        worker = account(site.user or wanted)
    except PrivilegeError as error:
        raise ConfigError(
            [Problem(None, str(error), "make it (useradd --system), or name another")]
        ) from None
    return who.user or str(who.uid), worker.uid == owner


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # of another machine or container
        return str(uid)


def _command(python: str) -> tuple[str, ...]:
    """Its script, where the path of the interpreter fits the first line of one (execve(2))."""
    script = Path(python).with_name("superwsgi")
    if script.is_file() and _IN_SHEBANG.fullmatch(python):
        return (str(script),)
    return (python, "-m", "superwsgi")


def _libraries(python: str) -> tuple[str, ...]:
    """Where this interpreter has its libraries, and superwsgi itself, which may be a checkout."""
    own = str(Path(python).parents[1])
    checkout = str(Path(__file__).parents[2])
    interpreter = os.path.realpath(sys.executable)
    return tuple(dict.fromkeys([own, sys.base_prefix, str(Path(interpreter).parents[1]), checkout]))


def _variables(site: Site, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Those that are set now: what is not has a default in the site file."""
    found = {name for source in site.sources.values() for name in _REFERENCE.findall(source.text)}
    return tuple(sorted(found & set(environ)))
