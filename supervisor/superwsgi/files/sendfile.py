"""The wrapper that answers with the file which the application has named (named.py). The application's status
and fields stay, its body is dropped; length, ranges and validators are ours.
"""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Iterable, Iterator, Mapping
from email.utils import formatdate
from typing import Any, Final

from superwsgi.apps.types import Environ, ExcInfo, StartResponse, Write, WSGIApp
from superwsgi.files import telling
from superwsgi.files.answering import READABLE, Content, Fields, answer_with, refuse
from superwsgi.files.asked.conditions import Validators, tag_by_time
from superwsgi.files.named import ACCEL, SENDFILE, Name, NamedFiles
from superwsgi.files.place import Missing, OpenFile, Unsendable
from superwsgi.http.errors import WsgiError

_NAMING: Final = frozenset({ACCEL, SENDFILE})
_OURS: Final = _NAMING | {"content-length", "content-range", "accept-ranges", "content-encoding"}
"""What the application says of a body that is not sent. Nginx and Apache drop its Content-Encoding as well: a
middleware has set it for a body of its own."""

_BODILESS: Final = ("1", "204", "205", "304")
_MISSING: Final = "let the application look whether there is one, or look for who has removed it"


class Sendfile:
    """WSGI around `app`: `answer`."""

    def __init__(self, app: WSGIApp, folders: Mapping[str, str]) -> None:
        self._app = app
        self._files = NamedFiles(folders)

    def answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        said = HeldResponse(start_response)
        result = self._app(environ, said.start)
        if not said.started:  # as a generator does, which begins with its first piece
            result = Begun(result)
        if said.names is None:
            return result
        _close(result)
        return self._send(said, environ, start_response)

    def _send(self, said: HeldResponse, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        names = said.names or []
        path = str(environ.get("PATH_INFO", ""))
        try:
            file, where = self._files.open(names)
        except Missing:
            telling.not_found(path, names[0].field, names[0].value, "there is no such file", _MISSING)
            return refuse(404, start_response)
        except Unsendable as error:
            telling.not_found(path, names[0].field, names[0].value, error.reason, error.then)
            return refuse(500, start_response)
        content = Content(file.status.st_size, None, file.fd)
        try:
            fields, validators = _fields(said, file, where)
            if said.status.startswith(("200", "206")) and environ["REQUEST_METHOD"] in READABLE:
                return answer_with(content, fields, validators, environ, start_response)
            start_response(said.status, fields)
            return [] if environ["REQUEST_METHOD"] == "HEAD" else content.piece(0, content.size - 1)
        finally:
            content.close()


class HeldResponse:
    """What an application says of its response; it goes on to the server at once, unless it names a file."""

    def __init__(self, start_response: StartResponse) -> None:
        self._start_response = start_response
        self.started = False
        self.names: list[Name] | None = None
        self.status = ""
        self.fields: list[Any] = []

    def start(self, status: Any, fields: Any, exc_info: ExcInfo | None = None) -> Write:
        """PEP 3333: `start_response`."""
        if self.names is not None and not exc_info:
            raise WsgiError("start_response called twice")
        self.started = True
        self.names = None
        fields = _listed(fields)
        names = _names(fields)
        if not names or str(status).startswith(_BODILESS):
            more = (exc_info,) if exc_info else ()
            return self._start_response(status, _without(fields) if names else fields, *more)
        self.names, self.status, self.fields = names, str(status), list(fields)
        return _drop


class Begun:
    """The body of an application that starts its response as it makes the first piece, which is made here."""

    def __init__(self, result: Iterable[bytes]) -> None:
        self._result = result
        try:
            self._rest = iter(result)
            self._first = list(_take_one(self._rest))
        except BaseException:
            _close(result)  # nobody else has it by now
            raise

    def __iter__(self) -> Iterator[bytes]:
        yield from self._first
        yield from self._rest

    def close(self) -> None:
        if hasattr(self._result, "close"):
            self._result.close()


def _take_one(pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        return


def _listed(fields: Any) -> Any:
    """What the server takes, too, may be read only once. Whatever else it is, the server will say."""
    return list(fields) if isinstance(fields, Iterator) else fields


def _names(fields: Any) -> list[Name]:
    """What is wrong with the fields otherwise, the server will say."""
    try:
        return [Name(n.lower(), v.strip()) for n, v in fields if len(n) in (10, 16) and n.lower() in _NAMING]
    except (TypeError, ValueError, AttributeError):
        return []


def _without(fields: Any) -> list[Any]:
    return [field for field in fields if field[0].lower() not in _NAMING]


def _drop(_data: Any) -> None:
    """`write` of a response whose body is not sent."""


def _close(result: Any) -> None:
    try:
        if hasattr(result, "close"):
            result.close()
    except BaseException as error:
        telling.not_closed(error)


def _fields(said: HeldResponse, file: OpenFile, path: bytes) -> tuple[Fields, Validators]:
    """Those of the application, and what it leaves to the server."""
    fields: Fields = [(n, v) for n, v in said.fields if n.lower() not in _OURS]
    has = {name.lower(): value for name, value in fields}
    status = file.status
    if not has.get("content-type"):
        fields = [field for field in fields if field[0].lower() != "content-type"]
        guessed = mimetypes.guess_type(os.fsdecode(path))[0]
        fields.append(("Content-Type", guessed or "application/octet-stream"))
    tag = has.get("etag", tag_by_time(status))
    date = has.get("last-modified", formatdate(max(0, int(status.st_mtime)), usegmt=True))
    fields += [("Accept-Ranges", "bytes"), ("Content-Length", str(status.st_size))]
    fields += [("ETag", tag)] if "etag" not in has else []
    fields += [("Last-Modified", date)] if "last-modified" not in has else []
    return fields, Validators(tag, date)
