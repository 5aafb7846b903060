"""What the environment says about the user that the application runs as."""

from __future__ import annotations

import pwd
from collections.abc import Mapping, MutableMapping
from typing import Final

from superwsgi.config.schema import Site

_NAMELESS_HOME: Final = "/"
"""For a number without a name, as in containers: nothing says where its home would be."""


def log_in(site: Site, environ: MutableMapping[str, str]) -> None:
    """Set HOME, USER and LOGNAME as a login of `user` would (login(1)), except what `env` of the site sets.

    Those with which the master was started would lead to files that this user may not read.
    """
    if site.user is not None:
        environ.update({key: value for key, value in variables(site.user).items() if key not in site.env})


def variables(user: str) -> Mapping[str, str]:
    """HOME, USER and LOGNAME of a name or number. A number without a name stands for itself, as in `ls -l`:
    without USER, getpass.getuser() fails, and with it what derives a cache's folder from it."""
    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        return {"HOME": _NAMELESS_HOME, "USER": user, "LOGNAME": user}
    return {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name}
