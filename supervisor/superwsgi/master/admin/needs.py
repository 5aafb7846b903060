"""What the admin process needs before it is started: its extra, and a user who is neither root nor the
site's. Found out at a start, a reload and by `superwsgi check`, so that nothing is half-started.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Final

from superwsgi.config.errors import ConfigError, Problem
from superwsgi.config.schema import Site
from superwsgi.system.privileges import NOBODY, PrivilegeError, account

_LIBRARY: Final = "prometheus_client"
_INSTALL: Final = "python -m pip install 'superwsgi[admin]'"


def require(site: Site) -> None:
    """Raises ConfigError, PrivilegeError."""
    problem = lacks(site)
    if problem is not None:
        raise ConfigError([problem])
    if site.admin.bind:
        user_of(site)


def lacks(site: Site) -> Problem | None:
    """What is to be installed for it."""
    if not site.admin.bind or find_spec(_LIBRARY) is not None:
        return None
    problem = f"admin needs {_LIBRARY.replace('_', '-')}, which is not installed"
    return Problem(None, problem, f"{_INSTALL}, or leave admin out")


def user_of(site: Site) -> str | None:
    """Whom the admin process has to become: None where the master is not root, and it stays who that is.
    Raises PrivilegeError."""
    if os.geteuid() != 0:
        return None
    name = site.admin.user or NOBODY
    try:
        uid = account(name).uid
    except PrivilegeError as error:
        raise PrivilegeError(f"admin.user: {error}: name one who has no other rights") from None
    if uid in (0, None if site.user is None else account(site.user).uid):
        raise PrivilegeError(
            f"admin.user: {name!r} is {'root' if uid == 0 else 'the user of the site'}: "
            "name another one, who has no other rights"
        )
    return name
