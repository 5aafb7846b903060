"""Where control sockets are: what the site file names, else a folder that is there for such things.

`superwsgi status` looks in the same places, so that it finds a site by its name, or all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from superwsgi.config.schema import Site

SYSTEM: Final = Path("/run/superwsgi")
OFF: Final = "off"
_OWN: Final = "control.sock"
"""In a folder that belongs to one site alone, as systemd's RuntimeDirectory= makes it."""


def control_path(site: Site, environ: Mapping[str, str]) -> Path | None:
    """Where the master of a site listens; None where it does not, or where there is no folder for it."""
    if site.control is not None:
        return None if site.control == OFF else Path(site.control)
    own = _own_folder(environ)
    if own is not None:
        return own / _OWN
    folder = SYSTEM if os.geteuid() == 0 else _users_folder(environ)
    return None if folder is None else folder / f"{site.name}.sock"


def sockets(name: str, environ: Mapping[str, str]) -> list[Path]:
    """The control sockets of sites of that name, or of any for `*`, that do not say themselves where."""
    found = (path for folder, pattern in _places(name, environ) for path in sorted(folder.glob(pattern)))
    return list({path.resolve(): path for path in found if path.is_socket()}.values())


def _places(name: str, environ: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Folders, and what is looked for there. Where one belongs to one site alone, that is the site."""
    own, users = _own_folder(environ), _users_folder(environ)
    if own is not None:
        yield own, _OWN
        return
    yield SYSTEM, f"{name}.sock"
    yield SYSTEM, f"{name}/{_OWN}"
    if users is not None:
        yield users, f"{name}.sock"


def _own_folder(environ: Mapping[str, str]) -> Path | None:
    """systemd.exec(5): several are separated by colons."""
    folder = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(folder) if folder.startswith("/") else None


def _users_folder(environ: Mapping[str, str]) -> Path | None:
    """XDG Base Directory Specification."""
    folder = environ.get("XDG_RUNTIME_DIR", "")
    return Path(folder) / "superwsgi" if folder.startswith("/") else None
