"""Whom the admin process runs as: where the master is root, somebody who is neither root nor the site's user.
Found out at a start, a reload and by `superwsgi check`, so that nothing is half-started.
"""

from __future__ import annotations

import os

from superwsgi.config.schema import Site
from superwsgi.system.privileges import NOBODY, PrivilegeError, account


def require(site: Site) -> None:
    """Raises PrivilegeError."""
    if site.admin.bind:
        user_of(site)


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
