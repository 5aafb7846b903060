"""Which user and group a mold and its workers run as. Looked up by the master, taken by the mold before any
code of the application runs.
"""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass

from superwsgi.config.schema import Site


class PrivilegeError(Exception):
    """The user or group of the site file cannot be had; the text says why."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Numbers as setuid(2), setgid(2) and initgroups(3) want them."""

    user: str
    uid: int
    gid: int


def identity(site: Site) -> Identity | None:
    """Who the workers are to be; None where they stay who the master is. Raises PrivilegeError."""
    if site.user is None and site.group is None:
        return None
    entry = user_entry(site.user) if site.user is not None else _current()
    gid = group_id(site.group) if site.group is not None else entry.pw_gid
    if os.geteuid() != 0 and (entry.pw_uid, gid) != (os.geteuid(), os.getegid()):
        raise PrivilegeError(
            f"user {site.user or entry.pw_name!r}, group {site.group or gid!r}: only root can become "
            "somebody else; start superwsgi as root, or leave user and group out"
        )
    return Identity(entry.pw_name, entry.pw_uid, gid)


def drop(site: Site) -> None:
    """Become the site's user and group, with the user's supplementary groups, and take its umask.

    Raises PrivilegeError.
    """
    who = identity(site)
    if who is not None and os.geteuid() == 0:
        try:
            os.initgroups(who.user, who.gid)
            os.setgid(who.gid)
            os.setuid(who.uid)
        except OSError as error:
            raise PrivilegeError(f"cannot become user {who.user!r}: {error.strerror}") from None
    if site.umask is not None:
        os.umask(site.umask)


def user_entry(name: str) -> pwd.struct_passwd:
    """The user of that name or number. Raises PrivilegeError."""
    try:
        return pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        raise PrivilegeError(f"user {name!r} does not exist on this machine") from None


def _current() -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(os.geteuid())
    except KeyError:
        raise PrivilegeError(f"group without user: process user {os.geteuid()} has no name") from None


def group_id(name: str) -> int:
    """The number of the group of that name or number. Raises PrivilegeError."""
    try:
        return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise PrivilegeError(f"group {name!r} does not exist on this machine") from None
