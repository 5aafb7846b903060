"""What a site reads and writes, and so what a service that sees next to nothing of the disk has to be given.

All is read-only for it (ProtectSystem=strict) but what is named here. Below /home, /root and /run/user, which
it sees empty (ProtectHome=tmpfs), it is given the folder above each of what it needs: a folder is mounted as
it is then, and deploys rename folders and switch links.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from superwsgi.config.listening import UnixAddress
from superwsgi.config.schema import Site
from superwsgi.deployment.installation import DYNAMIC, Installation
from superwsgi.master.control.paths import OFF

HIDDEN: Final = ("/home", "/root", "/run/user")
SHARED: Final = ("/tmp", "/var/tmp")
"""A service has folders of its own in their places (PrivateTmp=), and one with DynamicUser= in any case."""

_OF_ALL: Final = ("/home", "/run/user", *SHARED)
"""What is below them is of many, and never given as a whole."""

_DEEP: Final = 2
"""Parts of a path such as /srv: what is deeper may be a project's."""

_KEYS: Final = (".ssh", ".gnupg")
"""What no site needs of a home."""


def read(place: Installation) -> list[str]:
    """Folders that it cannot do without."""
    above = [str(Path(file).parent) for _, file in [("", place.file), *files(place.site)]]
    search = [path for path in place.site.env.get("PYTHONPATH", "").split(os.pathsep) if path.startswith("/")]
    return plain([place.site.chdir, *place.folders, *search, *above, *sent_from(place.site)])


def sent_from(site: Site) -> list[str]:
    """Folders of files that workers send."""
    return [*site.static.values(), *site.sendfile.values()]


def files(site: Site) -> list[tuple[str, str]]:
    """Those that the master reads, each behind its key."""
    tls = site.tls
    named = [("env_file", site.env_file), ("tls.certificate", tls.certificate), ("tls.key", tls.key)]
    named += [("tls.sni", file) for each in tls.sni for file in (each.certificate, each.key)]
    return [(key, file) for key, file in [*named, ("tls.client_ca", tls.client_ca)] if file is not None]


def written(place: Installation) -> dict[str, str]:
    """Folders of the files that the site makes, and the key that names the first of them."""
    folders: dict[str, str] = {}
    for key, file in made(place.site):
        folders.setdefault(os.path.normpath(Path(file).parent), key)
    return folders


def plain(paths: Iterable[str]) -> list[str]:
    """Each once, and without `..`, which systemd takes from nobody."""
    return list(dict.fromkeys(map(os.path.normpath, paths)))


def made(site: Site) -> Iterator[tuple[str, str]]:
    """Files that the site makes, each behind its key."""
    for key, target in (("log.access", site.log.access), ("log.error", site.log.error)):
        if target.startswith("/") and not target.startswith("/dev/"):
            yield key, target
    for key, addresses in (
        ("bind", site.bind),
        ("health.bind", site.health.bind),
        ("admin.bind", site.admin.bind),
    ):
        yield from ((key, each.path) for each in addresses if isinstance(each, UnixAddress))
    if site.pidfile is not None:
        yield "pidfile", site.pidfile
    if site.control is not None and site.control != OFF:
        yield "control", site.control


def hidden(place: Installation) -> tuple[str, ...]:
    """Of which the service sees nothing but what is mounted for it."""
    return (*HIDDEN, *SHARED) if place.user == DYNAMIC else HIDDEN


def seen(place: Installation, more: Iterable[str] = ()) -> list[str]:
    """Folders to mount where others are hidden, none inside of another."""
    needed = [*read(place), *written(place), *plain(more)]
    inside = [path for path in [*needed, *_through_links(place, needed)] if below(path, hidden(place))]
    above = {_above(path) for path in inside}
    return [path for path in sorted(above) if not below(path, above - {path})]


def _through_links(place: Installation, paths: Iterable[str]) -> Iterator[str]:
    """Each link on the way, and where it leads to."""
    for link, leads_to in place.links:
        if any(below(path, [link]) for path in paths):
            yield from (link, leads_to)


def _above(path: str) -> str:
    """The folder above, but never that of all homes."""
    parent = str(PurePosixPath(path).parent)
    return path if path in (*HIDDEN, *SHARED) or parent in _OF_ALL else parent


def releases(place: Installation) -> list[str]:
    """Where the next ones will be of a project that is reached through a link. Not a home as a whole, nor
    what is of many."""
    above = [PurePosixPath(to).parent for link, to in place.links if below(place.site.chdir, [link])]
    return [str(each) for each in above if len(each.parts) > _DEEP and not _is_home(each)]


def _is_home(path: PurePosixPath) -> bool:
    return str(path) == "/root" or str(path.parent) in _OF_ALL


def keys_in(folders: Iterable[str]) -> list[str]:
    """What is to stay hidden in the homes among these folders."""
    homes = [path for path in folders if path == "/root" or str(PurePosixPath(path).parent) == "/home"]
    return [f"{home}/{name}" for home in homes for name in _KEYS]


def in_shared(place: Installation, more: Iterable[str] = ()) -> list[str]:
    """What it needs of folders that services have to themselves, or else would share with all."""
    if place.user == DYNAMIC:
        return []
    return [path for path in [*read(place), *written(place), *more] if below(path, SHARED)]


def below(path: str, folders: Iterable[str]) -> bool:
    """Whether it is one of them, or inside of one."""
    path = os.path.normpath(path)
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)
