"""`static:` files in front of the application. What is no file goes on to the application; what is one, but
not to be sent (its name begins with a dot, a link leads it out of the folder), is 404, whatever the
application would make of it. No folder is listed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from superwsgi import unpatched
from superwsgi.apps.routes import Routes, host_of
from superwsgi.apps.types import Environ, StartResponse, WSGIApp
from superwsgi.files import place, telling
from superwsgi.files.answering import OK, READABLE, Content, answer_with, is_plain, refuse
from superwsgi.files.place import Missing, Unsendable
from superwsgi.files.resource import SETTLED, FieldsOf, Representation, Resource, prepare

KEPT: Final = 16 << 20
"""Bytes of prepared answers that a worker keeps, at most; the oldest go first."""

_WELL_KNOWN: Final = b".well-known"  # RFC 8615: at the root of a host, and meant to be read

_OPEN: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class FileAsked(NamedTuple):
    """The file that a path would mean; `is_root`: the folder is all that there is on its host."""

    folder: bytes
    file: bytes
    is_root: bool


class StaticFiles:
    """WSGI around `app`: `answer`. `folders`, absolute ones, are by /prefix, host or host/prefix; what has
    not changed for `settled` ns is kept, `weight` bytes by now."""

    def __init__(
        self, app: WSGIApp, folders: Mapping[str, str], fields_of: FieldsOf, settled: int = SETTLED
    ) -> None:
        self._app = app
        self._routes: Routes[bytes] = Routes({key: os.fsencode(folder) for key, folder in folders.items()})
        self._by_host = self._routes.by_host
        self._fields_of = fields_of
        self._settled = settled
        self._known: dict[str, Resource] = {}
        self.weight = 0
        self._lock = unpatched.shared_lock()

    def answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """The way of nearly all requests: the whole of a small file that is known already."""
        path: str = environ["PATH_INFO"]
        key = host_of(environ) + path if self._by_host else path
        known = self._known.get(key)
        if known is not None and is_plain(environ):
            chosen = known.choose(environ.get("HTTP_ACCEPT_ENCODING"))
            if chosen.body is not None and known.is_current(chosen):
                start_response(OK, chosen.fields)
                return chosen.whole
        return self._answer(key, path, environ, start_response)

    def _answer(
        self, key: str, path: str, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        asked = self._file_at(path, environ)
        if asked is None:
            return self._app(environ, start_response)
        accepted = environ.get("HTTP_ACCEPT_ENCODING")
        try:
            resource = self._resource(key, asked, accepted)
            if environ["REQUEST_METHOD"] not in READABLE:
                return refuse(405, start_response, ("Allow", "GET, HEAD"))
            chosen = resource.choose(accepted)
            content = _content(chosen)
            if content is None:
                self._forget(key)
                chosen, content = self._as_it_is(asked)
        except Missing:
            pass
        except Unsendable as error:
            _tell(error, path, asked.file)
            if error.seen:
                return refuse(404, start_response)
        else:
            return answer_with(content, chosen.fields, chosen.validators, environ, start_response)
        return self._app(environ, start_response)  # not above: our reasons would be in its tracebacks

    def _as_it_is(self, asked: FileAsked) -> tuple[Representation, Content]:
        """A file that changes while we look, or whose file system says so. Raises Missing, Unsendable."""
        fields = self._fields_of(os.fsdecode(asked.file))
        file = place.open_file(asked.folder, asked.file, hidden=False)
        try:
            chosen = Representation(file, asked.file, "", fields)
        except BaseException:  # the device that it is on fails
            unpatched.close(file.fd)
            raise
        return chosen, Content(chosen.size, chosen.body, file.fd)

    def _file_at(self, path: str, environ: Environ) -> FileAsked | None:
        """None where a path cannot mean a file in any of the folders."""
        found = self._routes.find(host_of(environ) if self._by_host else "", path)
        if found is None:
            return None
        prefix, folder = found
        try:
            below = path[len(prefix) + 1 :].encode("latin-1")
        except UnicodeEncodeError:  # not of our making
            return None
        names = below.split(b"/")
        if b"" in names or b"." in names or b".." in names:
            return None
        return FileAsked(folder, os.path.join(folder, below), not prefix)

    def _resource(self, key: str, asked: FileAsked, accepted: str | None) -> Resource:
        """Raises Missing, Unsendable."""
        known = self._known.get(key)
        if known is not None and known.is_current(known.choose(accepted)):
            return known
        self._forget(key)
        _check_hidden(asked)
        resource = prepare(asked.folder, asked.file, self._fields_of)
        if resource.rested > self._settled:
            self._keep(key, resource)
        return resource

    def _keep(self, key: str, resource: Resource) -> None:
        with self._lock:
            self._drop(key)
            self._known[key] = resource
            self.weight += resource.weight
            while self.weight > KEPT:
                self.weight -= self._known.pop(next(iter(self._known))).weight

    def _forget(self, key: str) -> None:
        with self._lock:
            self._drop(key)

    def _drop(self, key: str) -> None:
        gone = self._known.pop(key, None)
        if gone is not None:
            self.weight -= gone.weight


def _check_hidden(asked: FileAsked) -> None:
    """Raises Missing, Unsendable for a path with a name that begins with a dot."""
    names = asked.file[len(asked.folder) :].strip(b"/").split(b"/")
    if asked.is_root and names[0] == _WELL_KNOWN:
        del names[0]
    if any(name.startswith(b".") for name in names):
        raise Unsendable("its name begins with a dot") if place.is_there(asked.file) else Missing


def _content(chosen: Representation) -> Content | None:
    """None if the file is not what it was."""
    if chosen.body is not None:
        return Content(chosen.size, chosen.body)
    try:
        fd = os.open(chosen.path, _OPEN)
    except OSError:
        return None
    if chosen.is_that(os.fstat(fd)):
        return Content(chosen.size, None, fd)
    unpatched.close(fd)
    return None


def _tell(error: Unsendable, path: str, file: bytes) -> None:
    """Operators, if they can do something about it."""
    if error.then:
        telling.not_sent(path, os.fsdecode(file), error.reason, error.then)
