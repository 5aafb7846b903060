"""Which user and group the site's processes run as. Looked up by the master, taken by each child of its
before it executes anything of the site's.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
from dataclasses import dataclass
from typing import Final

from superwsgi.config.schema import Site
from superwsgi.system import capabilities

_LARGEST: Final = (1 << 32) - 2
"""The number after it means "leave it as it is" (setreuid(2))."""


class PrivilegeError(Exception):
    """The user or group of the site file cannot be had; the text says why."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Numbers as setuid(2) and setgid(2) want them; `user` is None for a number without a name."""

    user: str | None
    uid: int
    gid: int

    def groups(self) -> list[int]:
        """Supplementary groups, as setgroups(2) wants them: those that the system has for the user."""
        return [self.gid] if self.user is None else os.getgrouplist(self.user, self.gid)


def identity(site: Site) -> Identity | None:
    """Who the workers are to be; None where they stay who the master is. Raises PrivilegeError."""
    if site.user is None and site.group is None:
        return None
    user = account(site.user) if site.user is not None else account(str(os.geteuid()))
    who = Identity(user.user, user.uid, group_id(site.group)) if site.group is not None else user
    if os.geteuid() != 0 and (who.uid, who.gid) != (os.geteuid(), os.getegid()):
        raise PrivilegeError(
            f"user {site.user or who.user or who.uid!r}, group {site.group or who.gid!r}: only root can "
            "become somebody else; start superwsgi as root, or leave user and group out"
        )
    return who


def becomes_another(site: Site) -> bool:
    """Whether workers have rights that this process is to drop. Raises PrivilegeError."""
    who = identity(site)
    return os.geteuid() == 0 and who is not None and who.uid != 0


def drop(site: Site) -> None:
    """Become the site's user and group, with the user's supplementary groups, and take its umask. What the
    environment says of the user is in login.py.

    Raises PrivilegeError.
    """
    who = identity(site)
    if who is not None and os.geteuid() == 0:
        try:
            _become(who)
        except OSError as error:
            raise PrivilegeError(f"cannot become user {who.user or who.uid!r}: {error.strerror}") from None
        require_gone(who)
    if site.umask is not None:
        os.umask(site.umask)


def _become(who: Identity) -> None:
    """Raises OSError."""
    os.setgroups(who.groups())
    os.setresgid(who.gid, who.gid, who.gid)
    os.setresuid(who.uid, who.uid, who.uid)
    if who.uid != 0:
        capabilities.give_up()


def require_gone(who: Identity) -> None:
    """Make sure that we are `who` and nothing more, and cannot become root again. Raises PrivilegeError.

    PR_SET_NO_NEW_PRIVS is not set: applications call sudo and sendmail, whose rights their own rules bound.
    """
    users, groups = set(os.getresuid()), set(os.getresgid())
    if (users, groups, set(os.getgroups())) != ({who.uid}, {who.gid}, set(who.groups())):
        raise _still("its user, group or supplementary groups are not those of the site file")
    if who.uid == 0:
        return
    with contextlib.suppress(OSError):
        os.setuid(0)
        raise _still("it can become root again")
    if capabilities.left():
        raise _still("it has capabilities left")


def _still(what: str) -> PrivilegeError:
    return PrivilegeError(
        f"the rights of root are not gone: {what}; see to securebits and security modules where it is started"
    )


def account(name: str) -> Identity:
    """The user of that name or number, with its own group. Raises PrivilegeError.

    A number need not have a name, as in containers; its group is then the same number, but for the user that
    we are, whose group is ours.
    """
    try:
        entry = pwd.getpwuid(_number(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        if not name.isdigit():
            raise PrivilegeError(f"user {name!r} does not exist on this machine") from None
        uid = _number(name)
        return Identity(None, uid, os.getegid() if uid == os.geteuid() else uid)
    return Identity(entry.pw_name, entry.pw_uid, entry.pw_gid)


def group_id(name: str) -> int:
    """The number of the group of that name or number. Raises PrivilegeError."""
    try:
        return _number(name) if name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise PrivilegeError(f"group {name!r} does not exist on this machine") from None


def _number(digits: str) -> int:
    number = int(digits)
    if number > _LARGEST:
        raise PrivilegeError(f"{digits} is beyond the numbers of users and groups")
    return number
