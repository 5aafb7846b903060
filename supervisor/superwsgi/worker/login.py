"""What the environment says of the user whom the application runs as."""

from __future__ import annotations

import pwd
from collections.abc import Mapping, MutableMapping
from typing import Final

from superwsgi.config.schema import Site

_NAMELESS_HOME: Final = "/"
"""Of a number without a name, as containers have it: nothing says where it would be at home."""


def log_in(site: Site, environ: MutableMapping[str, str]) -> None:
    """Set HOME, USER and LOGNAME as a login of `user` would (login(1)), but for what `env` of the site sets.

    Those of whoever started the master would lead to files that this user may not read.
    """
    if site.user is not None:
        environ.update({key: value for key, value in variables(site.user).items() if key not in site.env})


def variables(user: str) -> Mapping[str, str]:
    """HOME, USER and LOGNAME of a name or number. A number without a name stands for itself, as in `ls -l`:
    without any, getpass.getuser() and what asks it for a cache's folder would fail."""
    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        return {"HOME": _NAMELESS_HOME, "USER": user, "LOGNAME": user}
    return {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name}
