"""What the user of a site may enter and write, by the bits of folders (path_resolution(7)): said before
systemd would fail at it. Access lists and security modules are not looked at.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from superwsgi.deployment import folders, units
from superwsgi.deployment.installation import DYNAMIC, ROOT, Installation
from superwsgi.system.privileges import Identity, account


def troubles(place: Installation, writable: tuple[str, ...] = ()) -> Iterator[str]:
    """A line for each folder or file that this user cannot use."""
    if place.user == ROOT:
        return
    who = None if place.user == DYNAMIC else account(place.user)
    called = "a user of systemd's own" if who is None else place.user
    seen, hidden = folders.seen(place, writable), folders.hidden(place)
    ways = [place.site.chdir, str(Path(place.file).parent), *place.folders, *folders.sent_from(place.site)]
    bars = {path: barred for path in ways if (barred := _barred(path, who, seen, hidden)) is not None}
    for barred in dict.fromkeys(bars.values()):
        to = " and ".join(path for path in bars if bars[path] == barred)
        yield f"{called} cannot enter {barred}, which is on the way to {to}: {_ADVICE}"
    for key, file in folders.files(place.site):
        if _barred(str(Path(file).parent), who, seen, hidden) or not _allows(file, who, os.R_OK):
            yield f"{key}: {called} cannot read {file}: {_of_file(place.user)}"
    for path, key in folders.written(place).items():
        if not folders.below(path, units.provided(place)) and not _may_write(path, who):
            better = " or ".join(units.provided(place)[1:])
            yield f"{key}: {called} cannot write to {path}: name a folder below {better}"


_ADVICE: Final = "move the project to /srv, open the folder (chmod o+x), or name another user (--user)"


def _of_file(user: str) -> str:
    if user == DYNAMIC:
        return "name a user that can (--user), or open it"
    root = f"have root start the site (user: {user} in the site file, and --user root)"
    return f"let it (setfacl -m u:{user}:r, and x for the folders above), or {root}"


def _barred(path: str, who: Identity | None, seen: list[str], hidden: tuple[str, ...]) -> str | None:
    """The first folder on the way that may not be entered. Above what is mounted there are none."""
    for folder in reversed([Path(path), *Path(path).parents]):
        if folders.below(str(folder), hidden) and not folders.below(str(folder), seen):
            continue
        if not _allows(str(folder), who, os.X_OK):
            return str(folder)
    return None


def _may_write(path: str, who: Identity | None) -> bool:
    """What is missing can be made, by tmpfiles.d or by the user whose the folder above is."""
    there = next(folder for folder in (Path(path), *Path(path).parents) if folder.exists())
    if str(there) != path and who is not None and not folders.below(path, folders.HIDDEN):
        return True
    return _allows(str(there), who, os.W_OK)


def _allows(folder: str, who: Identity | None, right: int) -> bool:
    try:
        its = Path(folder).stat()
    except OSError:
        return True  # it is not there, and so not in the way
    mode = stat.S_IMODE(its.st_mode)
    if who is not None and who.uid == its.st_uid:
        return bool(mode & right << 6)
    if who is not None and its.st_gid in who.groups():
        return bool(mode & right << 3)
    return bool(mode & right)
