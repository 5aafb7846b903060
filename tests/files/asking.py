"""Asks a WSGI application, and looks at its answer as a client would."""

import io
import os
import time
from typing import NamedTuple
from wsgiref.util import setup_testing_defaults

from superwsgi.http.files import FileWrapper


class Answered(NamedTuple):
    """`fields` by lower-case name; of a file, `body` has what Content-Length has room for."""

    status: int
    fields: dict[str, str]
    body: bytes


def ask(app, path, method="GET", **fields):
    """`fields` with underscores: `if_none_match`."""
    environ = {f"HTTP_{name.upper()}": value for name, value in fields.items()}
    environ |= {"PATH_INFO": path, "REQUEST_METHOD": method, "wsgi.input": io.BytesIO()}
    environ["wsgi.file_wrapper"] = FileWrapper
    setup_testing_defaults(environ)
    began = []

    def start_response(status, headers, exc_info=None):
        began[:] = [status, headers]
        return lambda data: None

    result = app(environ, start_response)
    try:
        body = b"".join(result)
    finally:
        if hasattr(result, "close"):
            result.close()
    status, headers = began
    assert all(type(name) is str and type(value) is str for name, value in headers)
    said = {name.lower(): value for name, value in headers}
    assert len(said) == len(headers) or "set-cookie" in said, headers
    length = said.get("content-length")
    return Answered(int(status[:3]), said, body if length is None else body[: int(length)])


def age(*paths, seconds=60):
    """Let files be of some time ago, as nearly all are; their last change is now all the same."""
    then = time.time() - seconds
    for path in paths:
        os.utime(path, (then, then))
