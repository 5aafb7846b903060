"""The folder that prometheus_client's files are in: the master makes it, once for a site, and removes it at
its end. So counters go on over reloads and upgrades, and nothing is left. If the master is killed, its next
start removes the folder, once no process uses it any more: a lock (flock(2)) says whether its master lives.

In it is a folder for each user that the site's processes run as, since a reload may change the user: it is
theirs, and the master does nothing there but remove it. The admin process is another user where the master is
root. An access control list (acl(5)) lets it read, whatever the umask; where the file system has none, it
reads what the umask lets it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from superwsgi import unpatched
from superwsgi.config.schema import Site
from superwsgi.metrics.files import SPELLINGS, VARIABLE, find
from superwsgi.metrics.folding import opened
from superwsgi.system.privileges import NOBODY, account, identity
from superwsgi.system.procfs import exists
from superwsgi.system.unsafe_paths import NotPrivate, verify_private

_LAST_RESORT: Final = Path("/tmp")
_FOR_ALL: Final = 0o755
_FOR_ITS_USER: Final = 0o700

_ACL_VERSION: Final = 2
_USER_OBJ, _USER, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_UNDEFINED_ID: Final = 0xFFFFFFFF
"""Constants of linux/posix_acl_xattr.h."""


class MetricsFolder:
    """For the site called `name`, in the first of `parents` that does; `held` is one that an earlier program
    of this process has made. `path` is None until it is needed."""

    def __init__(self, name: str, parents: Sequence[Path], held: tuple[str, int] | None = None) -> None:
        self.path: str | None = None
        self._fd: int | None = None
        self._prefix = f"{name}.metrics-"
        self._parents = (*parents, _LAST_RESORT)
        self._stale = [] if held is not None else [*self._left_behind()]
        if held is not None:
            self.path, self._fd = held
            os.set_inheritable(self._fd, False)

    def hold(self) -> tuple[str, int] | None:
        """What the next program of this process needs: its path and descriptor."""
        return None if self.path is None or self._fd is None else (self.path, self._fd)

    def prepare(self, site: Site) -> tuple[str, str]:
        """The folder for the processes of `site`, and what is wrong with it: nothing, or one sentence. Raises
        OSError, PrivilegeError."""
        who = identity(site.user, site.group)
        uid, gid = (who.uid, who.gid) if who is not None else (os.geteuid(), os.getegid())
        reader = account(site.admin.user or NOBODY).uid if os.geteuid() == 0 else uid
        base = self._base(shared={uid, reader} != {os.geteuid()})
        folder = Path(base, str(uid))
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=_FOR_ITS_USER)
        with opened(str(folder)) as fd:
            os.fchown(fd, uid, gid)
            return str(folder), "" if reader == uid else _let_read(fd, reader)

    def look(self) -> None:
        """Remove what killed masters of this site have left, once no process of theirs is there."""
        self._stale = [each for each in self._stale if not _remove_stale(each)]

    def remove(self) -> None:
        """At the end of the site."""
        self.look()
        if self.path is not None and self._fd is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            unpatched.close(self._fd)
            self.path = self._fd = None

    def _base(self, *, shared: bool) -> str:
        """The site's folder, made if need be: `shared` with other users. Raises OSError."""
        if self.path is not None and Path(self.path).is_dir():
            return self.path
        if self._fd is not None:  # somebody has removed it
            unpatched.close(self._fd)
            self.path = self._fd = None
        failure: OSError = FileNotFoundError(errno.ENOENT, "there is no folder for it")
        for parent in self._parents:
            try:
                _require(parent, shared=shared)
                self.path, self._fd = _make(self._prefix, parent)
                return self.path
            except OSError as error:
                failure = error
        raise failure

    def _left_behind(self) -> Iterator[Path]:
        for parent in self._parents:
            with contextlib.suppress(OSError):
                yield from (each for each in parent.iterdir() if each.name.startswith(self._prefix))


def told(site: Site, folder: str | None) -> Site:
    """The site as its processes are told: where their metrics go, or that there is no such folder."""
    if folder is not None:
        return msgspec.structs.replace(site, env={**site.env, VARIABLE: folder})
    if not site.metrics.app:
        return site
    return msgspec.structs.replace(site, metrics=msgspec.structs.replace(site.metrics, app=False))


def elsewhere(site: Site, environ: Mapping[str, str]) -> str | None:
    """The variable by which the site has said itself where its metrics go."""
    return next((name for name in SPELLINGS if name in site.env or name in environ), None)


def _require(parent: Path, *, shared: bool) -> None:
    """Raises OSError if others could rename what is in there, or could not reach it."""
    status = parent.stat()
    if not status.st_mode & stat.S_ISVTX and (
        status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        raise PermissionError(errno.EACCES, f"others may rename what is in {parent}")
    for folder in (parent, *parent.parents) if shared else ():
        if not folder.stat().st_mode & stat.S_IXOTH:
            raise PermissionError(errno.EACCES, f"other users cannot enter {folder}")


def _make(prefix: str, parent: Path) -> tuple[str, int]:
    """A new folder, and the descriptor that holds its lock. Raises OSError."""
    while True:
        path = tempfile.mkdtemp(prefix=prefix, dir=parent)
        with contextlib.suppress(FileNotFoundError):
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            fcntl.flock(fd, fcntl.LOCK_EX)
            os.fchmod(fd, _FOR_ALL)
            if Path(path).is_dir():
                return path, fd
            unpatched.close(fd)  # another start of this site took it for left behind, before our lock


def _let_read(folder: int, reader: int) -> str:
    """Let a user read all files that will be in a folder; returns why that is not certain."""
    access = _access_list(reader)
    try:
        os.setxattr(folder, "system.posix_acl_default", access)
        os.setxattr(folder, "system.posix_acl_access", access)
    except OSError as error:
        os.fchmod(folder, _FOR_ALL)
        return f"its file system has no access control lists ({error.strerror}): umask must let others read"
    return ""


def _access_list(reader: int) -> bytes:
    """All for the owner, reading for the reader, nothing for others."""
    entries = [
        (_USER_OBJ, 7, _UNDEFINED_ID),
        (_USER, 5, reader),
        (_GROUP_OBJ, 0, _UNDEFINED_ID),
        (_MASK, 5, _UNDEFINED_ID),
        (_OTHER, 0, _UNDEFINED_ID),
    ]
    return struct.pack("<I", _ACL_VERSION) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def _remove_stale(path: Path) -> bool:
    """Remove a folder unless its master lives, or processes that it has left; whether it need not be looked
    at again."""
    try:
        verify_private(path)
        with opened(str(path)) as fd:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if any(
                file.pid is not None and exists(file.pid)
                for each in path.iterdir()
                for file in find(_names(each))
            ):
                return False
            shutil.rmtree(path, ignore_errors=True)
    except (OSError, NotPrivate):
        pass  # gone, in use, or not ours
    return True


def _names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]
