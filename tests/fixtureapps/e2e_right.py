"""Applications that use what PEP 3333 offers, each mounted under its name."""

import enum
import hashlib
import io
import itertools
import json
import os
import sys
import tempfile
import time

TEXT = [("Content-Type", "text/plain")]
closed = []


def write(environ, start_response):
    send = start_response("200 OK", TEXT)
    send(b"one ")
    send(b"two ")
    return [b"three"]


def generator(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"one "
    yield b""
    yield b"two"


def late(environ, start_response):
    """Calls start_response when it is asked for its first piece."""
    yield from ()
    start_response("200 OK", TEXT)
    yield b"late"


def empty(environ, start_response):
    start_response("200 OK", TEXT)
    return []


def no_content(environ, start_response):
    start_response("204 No Content", [])
    return []


def not_modified(environ, start_response):
    start_response("304 Not Modified", [("ETag", '"x"')])
    return [b"not to be sent"]


def long(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "10")])
    return [b"0123456789"]


def echo(environ, start_response):
    stream = environ["wsgi.input"]
    said = {name: value for name, value in environ.items() if isinstance(value, str)}
    body = stream.read()
    said["body"] = {
        "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "large": not isinstance(stream, io.BytesIO),
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(said).encode()]


def deaf(environ, start_response):
    """Does not read the request's body."""
    start_response("200 OK", TEXT)
    return [b"deaf"]


def file(environ, start_response):
    content = tempfile.TemporaryFile()
    content.write(bytes(range(256)) * 4096)
    content.seek(256)
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](content)


def replaced_head(environ, start_response):
    """Changes its mind before anything was sent."""
    start_response("200 OK", TEXT)
    try:
        raise ValueError("changed its mind")
    except ValueError:
        start_response("400 Bad Request", TEXT, sys.exc_info())
    return [b"replaced"]


class Told(str, enum.Enum):
    STATUS = "404 Not Found"
    NAME = "Cache-Control"
    VALUE = "no-store"


def marked(environ, start_response):
    """Has constants in an enum, as many do."""
    start_response(Told.STATUS, [(Told.NAME, Told.VALUE)])
    return [b"marked"]


def fields_once(environ, start_response):
    """Fields that can be walked once."""
    start_response("200 OK", filter(None, [("Set-Cookie", "a=1"), None, ("Vary", "Cookie")]))
    return [b"once"]


def events(environ, start_response):
    """An event stream with what examples of the web set for one."""
    fields = [
        ("Content-Type", "text/event-stream"),
        ("Connection", "keep-alive"),
        ("Keep-Alive", "timeout=5"),
    ]
    start_response("200 OK", [*fields, ("Transfer-Encoding", "chunked")])
    yield b"data: 1\n\n"
    yield bytearray(b"data: 2\n\n")


def last(environ, start_response):
    start_response("200 OK", [*TEXT, ("Connection", "close")])
    return [memoryview(b"last")]


def reset(environ, start_response):
    start_response("205 Reset Content", TEXT)
    return [b"not to be sent"]


class Endless:
    """A stream for whoever asks for it by GET; to others, some of it is asked for before it is closed."""

    def __init__(self, environ, start_response):
        start_response(environ["QUERY_STRING"].replace("+", " ") or "200 OK", TEXT)

    def __iter__(self):
        return itertools.repeat(b"x" * 100)

    def close(self):
        closed.append("endless")


endless = Endless


class Closing:
    """Notes when it is closed; the query says what it does: nothing, `fail`, or go on until it is closed."""

    def __init__(self, environ, start_response):
        self._does = environ["QUERY_STRING"]
        start_response("200 OK", TEXT)

    def __iter__(self):
        yield b"begun"
        if self._does == "fail":
            raise RuntimeError("failed on the way")
        for _ in itertools.count() if self._does == "endless" else ():
            time.sleep(0.005)
            yield b"x" * 1024

    def close(self):
        closed.append(self._does)


closing = Closing


def closed_so_far(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(closed).encode()]


def slow(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"begun "
    time.sleep(0.2)
    yield b"done"


def pid(environ, start_response):
    start_response("200 OK", TEXT)
    return [str(os.getpid()).encode()]
