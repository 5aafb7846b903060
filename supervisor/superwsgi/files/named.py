"""`sendfile:` files that the application names in a field of its response, X-Accel-Redirect or X-Sendfile, in
the place of a body: which file that is.

X-Accel-Redirect has a path as clients spell it, percent-encoded, below one of the prefixes in the site file,
as nginx's. X-Sendfile has the absolute path of a file in one of their folders, as Apache's and lighttpd's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from superwsgi.apps.routes import Routes
from superwsgi.files import place
from superwsgi.files.place import OpenFile, Unsendable

ACCEL: Final = "x-accel-redirect"
SENDFILE: Final = "x-sendfile"


class Name(NamedTuple):
    """A field that names a file; `field` in lower case."""

    field: str
    value: str


class Target(NamedTuple):
    """A path that begins with that of a folder, both absolute."""

    folder: bytes
    path: bytes


class NamedFiles:
    """`folders` by the prefix that stands for them in X-Accel-Redirect."""

    def __init__(self, folders: Mapping[str, str]) -> None:
        self._folders = [os.fsencode(folder) for folder in folders.values()]
        self._routes = Routes({prefix: os.fsencode(folder) for prefix, folder in folders.items()})
        self._known = f"the site file has sendfile: {', '.join(f'{k}: {v}' for k, v in folders.items())}"

    def open(self, names: Sequence[Name]) -> tuple[OpenFile, bytes]:
        """The file that all of them name, and its path. Raises Missing, Unsendable."""
        targets = [self._first(name) for name in names]
        if len({os.path.realpath(target.path) for target in targets}) > 1:
            raise Unsendable("two fields name different files", "let the application set one of them")
        folder, path = targets[0]
        return place.open_file(folder, path), path

    def _first(self, name: Name) -> Target:
        """What it may mean of which there is a file, or else the first of that. Raises Unsendable."""
        targets = list(self._accel(name.value) if name.field == ACCEL else self._sendfile(name.value))
        return next((target for target in targets if place.is_there(target.path)), targets[0])

    def _accel(self, value: str) -> Iterator[Target]:
        path = unquote_to_bytes(_bytes(value).partition(b"?")[0])
        found = self._routes.find("", path.decode("latin-1"))
        if found is None:
            raise Unsendable("the path is below none of the prefixes", self._known)
        prefix, folder = found
        yield Target(folder, _inside(folder, path[len(prefix) :].lstrip(b"/")))

    def _sendfile(self, value: str) -> Iterator[Target]:
        if not value.startswith("/"):
            raise Unsendable("the path is not absolute", "let the application name the file from / on")
        paths = [_bytes(value), os.fsencode(value), unquote_to_bytes(_bytes(value))]
        targets = [target for path in dict.fromkeys(paths) if (target := self._holding(path))]
        if not targets:
            raise Unsendable("the file is in none of the folders", self._known)
        yield from targets

    def _holding(self, path: bytes) -> Target | None:
        """The folder may be spelled in another way, through a link to the current release."""
        if _climbs(path):
            return None
        for folder in self._folders:
            if path.startswith(folder.rstrip(b"/") + b"/"):
                return Target(folder, path)
        real = os.path.realpath(path)
        for folder in self._folders:
            top = os.path.realpath(folder).rstrip(b"/") + b"/"
            if real.startswith(top):
                return Target(folder, os.path.join(folder, real[len(top) :]))
        return None


def _inside(folder: bytes, below: bytes) -> bytes:
    """Raises Unsendable."""
    if _climbs(below):
        raise Unsendable("the path leads upwards", "let the application name it without . and ..")
    return os.path.join(folder, below)


def _climbs(path: bytes) -> bool:
    return b"\0" in path or not {b".", b".."}.isdisjoint(path.split(b"/"))


def _bytes(value: str) -> bytes:
    """As it would stand in the response (PEP 3333), or what a framework meant that looked no further."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return os.fsencode(value)
