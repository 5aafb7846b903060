"""Where control sockets are: what the site file names, else a folder that is there for such things.

`superwsgi status` looks in the same places, so that it finds a site by its name, or all of them. A second
site of one name has a number there: `shop.sock`, `shop-2.sock`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from superwsgi.master import private

SYSTEM: Final = Path("/run/superwsgi")
OFF: Final = "off"
_SESSIONS: Final = Path("/run/user")
"""pam_systemd(8): a folder for each user who is logged in, which is also what XDG_RUNTIME_DIR names."""
_TEMPORARY: Final = Path("/tmp")
"""Whatever TMPDIR says: commands have to look in the same one."""
_OWN: Final = "control"
"""In a folder that belongs to one site alone, as systemd's RuntimeDirectory= makes it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder, and what the sockets of a site are called in it. One that is `private` is made and verified
    by private.py."""

    folder: Path
    stem: str
    private: bool = False

    def path(self, number: int = 1) -> Path:
        """Where the site with this number, among those of the same name, listens."""
        return self.folder / (f"{self.stem}.sock" if number == 1 else f"{self.stem}-{number}.sock")

    def has(self, path: Path) -> bool:
        return path.parent == self.folder and _is_called(path, self.stem)


def places(name: str, environ: Mapping[str, str]) -> list[Place]:
    """Where a site of that name listens that does not say itself where; the best place first."""
    own = _own_folder(environ)
    if own is not None:
        return [Place(own, _OWN)]
    folders = list(_users_folders(environ))
    if os.geteuid() == 0:
        return [Place(SYSTEM, name), Place(folders[-1], name, private=True)]
    return [Place(folder, name, private=True) for folder in folders]


def sockets(environ: Mapping[str, str]) -> list[Path]:
    """The control sockets in these places that this user may meet: not those of other users than root."""
    found = (path for each in _everywhere(environ) for path in sorted(each) if path.is_socket())
    return list({path.resolve(): path for path in found if _may_be_met(path)}.values())


def ignored(environ: Mapping[str, str]) -> Iterator[str]:
    """Why folders of ours are not looked into, one text for each."""
    for folder in () if _own_folder(environ) else dict.fromkeys(_looked_into(environ)):
        try:
            private.verify(folder)
        except private.NotPrivate as error:
            yield str(error)
        except OSError:
            pass


def may_be(path: Path, name: str) -> bool:
    """Whether it may be a site of that name that listens at a socket, to go by where that is."""
    return _is_called(path, name) or (_is_called(path, _OWN) and path.parent.name == name)


def _is_called(path: Path, stem: str) -> bool:
    return re.fullmatch(rf"{re.escape(stem)}(-\d+)?\.sock", path.name) is not None


def _everywhere(environ: Mapping[str, str]) -> Iterator[Iterator[Path]]:
    own = _own_folder(environ)
    if own is not None:
        yield own.glob(f"{_OWN}*.sock")
        return
    yield SYSTEM.glob("*.sock")
    yield SYSTEM.glob(f"*/{_OWN}*.sock")
    for folder in _looked_into(environ):
        if _is_private(folder):
            yield folder.glob("*.sock")


def _looked_into(environ: Mapping[str, str]) -> list[Path]:
    """All private folders: a command may run in another session than its master."""
    return [*_users_folders(environ), _SESSIONS / str(os.geteuid()) / "superwsgi"]


def _users_folders(environ: Mapping[str, str]) -> Iterator[Path]:
    """XDG Base Directory Specification; and one for users whom no session has given such a folder, or not a
    usable one."""
    folder = environ.get("XDG_RUNTIME_DIR", "")
    if folder.startswith("/"):
        yield Path(folder) / "superwsgi"
    yield _TEMPORARY / f"superwsgi-{os.geteuid()}"


def _own_folder(environ: Mapping[str, str]) -> Path | None:
    """systemd.exec(5): several are separated by colons."""
    folder = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(folder) if folder.startswith("/") else None


def _is_private(folder: Path) -> bool:
    try:
        private.verify(folder)
    except (OSError, private.NotPrivate):
        return False
    return True


def _may_be_met(path: Path) -> bool:
    """Root may meet anybody; what others have made could say anything, and take what is meant for somebody
    else."""
    me = os.geteuid()
    try:
        return me == 0 or path.stat().st_uid in (0, me)
    except OSError:
        return False
