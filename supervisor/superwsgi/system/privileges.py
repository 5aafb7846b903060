"""Which user and group the site's processes run as, and that nothing of root is left in them. Looked up by
the master, taken by each child of its, while that has one thread, before it executes anything of the site's.

A process that was root loses most of its capabilities (capabilities(7)) by setresuid(2), but keeps the
inheritable ones, and all of them if securebits say so.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
from collections.abc import Container, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final

from superwsgi.system import libc

NOBODY: Final = "nobody"
"""A user without rights."""

_LARGEST: Final = (1 << 32) - 2
"""The number after it means "leave it as it is" (setreuid(2))."""

_NAMELESS_HOME: Final = "/"
"""For a number without a name, as in containers: nothing says where its home would be."""


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


def identity(user: str | None, group: str | None) -> Identity | None:
    """Who the workers are to be, by names or numbers; None where they stay who the master is. Raises
    PrivilegeError."""
    if user is None and group is None:
        return None
    who = account(user) if user is not None else account(str(os.geteuid()))
    if group is not None:
        who = Identity(who.user, who.uid, group_id(group))
    if os.geteuid() != 0 and (who.uid, who.gid) != (os.geteuid(), os.getegid()):
        raise PrivilegeError(
            f"user {user or who.user or who.uid!r}, group {group or who.gid!r}: only root can "
            "become another user; start superwsgi as root, or leave user and group out"
        )
    return who


def becomes_another(user: str | None, group: str | None) -> bool:
    """Whether workers have rights that this process is to drop. Raises PrivilegeError."""
    who = identity(user, group)
    return os.geteuid() == 0 and who is not None and who.uid != 0


def drop(user: str | None, group: str | None, umask: int | None) -> None:
    """Become that user and group, with the user's supplementary groups, and take the umask. `log_in` tells
    the environment.

    Raises PrivilegeError.
    """
    who = identity(user, group)
    if who is not None and os.geteuid() == 0:
        try:
            _become(who)
        except OSError as error:
            raise PrivilegeError(f"cannot become user {who.user or who.uid!r}: {error.strerror}") from None
        require_gone(who)
    if umask is not None:
        os.umask(umask)


def _become(who: Identity) -> None:
    """Raises OSError."""
    os.setgroups(who.groups())
    os.setresgid(who.gid, who.gid, who.gid)
    os.setresuid(who.uid, who.uid, who.uid)
    if who.uid != 0:
        give_up_capabilities()


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
    if has_capabilities():
        raise _still("it has capabilities left")


def _still(what: str) -> PrivilegeError:
    return PrivilegeError(
        f"root's rights are not gone: {what}; check securebits and security modules where superwsgi is "
        "started"
    )


def give_up_capabilities() -> None:
    """Have none, nor any in programs that are executed: ambient ones go with the permitted. Raises
    OSError."""
    libc.capset(libc.Capabilities())


def has_capabilities() -> bool:
    """Whether any are left. Raises OSError."""
    return any(libc.capget())


def log_in(user: str | None, environ: MutableMapping[str, str], keep: Container[str] = ()) -> None:
    """Set HOME, USER and LOGNAME in `environ` as a login of `user` would (login(1)), except those to `keep`.

    Those that the master was started with would lead to files that this user may not read.
    """
    if user is not None:
        environ.update({key: value for key, value in _login_variables(user).items() if key not in keep})


def _login_variables(user: str) -> Mapping[str, str]:
    """Of a name or number. A number without a name stands for itself, as in `ls -l`: without USER,
    getpass.getuser() fails, and with it what derives a cache's folder from it."""
    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        return {"HOME": _NAMELESS_HOME, "USER": user, "LOGNAME": user}
    return {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name}


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
        raise PrivilegeError(f"{digits} is too large for the number of a user or group")
    return number
