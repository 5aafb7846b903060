"""Where the control socket is, unless the site says so itself: in a folder for such things.

`superwsgi status` looks in the same folders, so it finds a site by its name, or all sites. A second site of
the same name gets a number there: `shop.sock`, `shop-2.sock`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from superwsgi.system.unsafe_paths import NotPrivate, verify_private

SYSTEM: Final = Path("/run/superwsgi")
OFF: Final = "off"
_SESSIONS: Final = Path("/run/user")
"""pam_systemd(8): a folder for each user who is logged in, also named by XDG_RUNTIME_DIR."""
_TEMPORARY: Final = Path("/tmp")
"""Regardless of TMPDIR: commands have to look in the same folder."""
_OWN: Final = "control"
"""The socket's name in a folder for a single site, such as systemd's RuntimeDirectory=."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder, and the names of a site's sockets in it. A `private` one is made and verified by
    system/unsafe_paths.py."""

    path: Path
    stem: str
    private: bool = False

    def socket(self, number: int = 1) -> Path:
        """The socket of the site with this number, among those of the same name."""
        return self.path / (f"{self.stem}.sock" if number == 1 else f"{self.stem}-{number}.sock")

    def has(self, socket: Path) -> bool:
        return socket.parent == self.path and _is_called(socket, self.stem)


def folders(name: str, environ: Mapping[str, str]) -> list[Folder]:
    """The folders for a site of that name, the best one first."""
    own = _own_folder(environ)
    if own is not None:
        return [Folder(own, _OWN)]
    users = list(_users_folders(environ))
    if os.geteuid() == 0:
        return [Folder(SYSTEM, name), Folder(users[-1], name, private=True)]
    return [Folder(path, name, private=True) for path in users]


def sockets(environ: Mapping[str, str]) -> list[Path]:
    """The control sockets in these folders that this user may use: root's and their own; root may use all."""
    found = (path for each in _everywhere(environ) for path in sorted(each) if path.is_socket())
    return list({path.resolve(): path for path in found if _may_be_used(path)}.values())


def ignored(environ: Mapping[str, str]) -> Iterator[str]:
    """Why folders are skipped, one text for each."""
    for folder in () if _own_folder(environ) else dict.fromkeys(_looked_into(environ)):
        try:
            verify_private(folder)
        except NotPrivate as error:
            yield str(error)
        except OSError:
            pass


def may_be(path: Path, name: str) -> bool:
    """Whether the site that listens at a socket may have that name, judging by the socket's path."""
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
    """The session's folder (XDG Base Directory Specification), and one for users without a session, or with
    an unusable session folder."""
    folder = environ.get("XDG_RUNTIME_DIR", "")
    if folder.startswith("/"):
        yield Path(folder) / "superwsgi"
    yield _TEMPORARY / f"superwsgi-{os.geteuid()}"


def _own_folder(environ: Mapping[str, str]) -> Path | None:
    """RuntimeDirectory= of systemd.exec(5): several are separated by colons."""
    folder = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(folder) if folder.startswith("/") else None


def _is_private(folder: Path) -> bool:
    try:
        verify_private(folder)
    except (OSError, NotPrivate):
        return False
    return True


def _may_be_used(path: Path) -> bool:
    """Sockets of other users could claim any name, and receive commands meant for another site."""
    me = os.geteuid()
    try:
        return me == 0 or path.stat().st_uid in (0, me)
    except OSError:
        return False
