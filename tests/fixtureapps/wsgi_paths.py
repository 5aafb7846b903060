"""One behaviour a path; `gate` holds requests to /wait until a test opens it."""

from __future__ import annotations

import array
import functools
import json
import sys
import tempfile
import threading

gate = threading.Event()
inside = threading.Semaphore(0)


def app(environ, start_response):
    return PATHS.get(environ["PATH_INFO"], hello)(environ, start_response)


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def echo(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [body]


def wait(environ, start_response):
    inside.release()
    gate.wait(60)
    return hello(environ, start_response)


def leave(environ, start_response):
    sys.exit(3)


def big(environ, start_response):
    start_response("200 OK", [("Content-Length", str(50 << 20))])
    return [b"x" * (50 << 20)]


def big_pieces(environ, start_response):
    start_response("200 OK", [("Content-Length", str(50 << 20))])
    return (b"x" * 65536 for _ in range(800))


def piece_then_wait(environ, start_response):
    start_response("200 OK", [])
    yield b"first"
    inside.release()
    gate.wait(60)
    yield b"second"


def half(environ, start_response):
    start_response("200 OK", [("Content-Length", "10")])
    yield b"half"
    raise ValueError("half-way")


def said(environ, start_response):
    """The environ's strings, as JSON."""
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({key: value for key, value in environ.items() if type(value) is str}).encode()]


@functools.cache
def content():
    """32 MiB: each 4 bytes their own position."""
    return array.array("I", range(8 << 20)).tobytes()


def file(environ, start_response):
    """All of `content`, from the disk."""
    stream = tempfile.TemporaryFile()
    stream.write(content())
    stream.seek(0)
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](stream)


def endless(environ, start_response):
    """Streams for ever, and says when it was closed."""
    start_response("200 OK", [])
    try:
        while True:
            yield b"x" * 65536
    finally:
        inside.release()


def ticks(environ, start_response):
    """Streams a little now and then, and says when it was closed."""
    start_response("200 OK", [])
    try:
        while True:
            yield b"tick"
            gate.wait(0.01)
    finally:
        inside.release()


def polls(environ, start_response):
    """Has nothing to say, and gives the server an opportunity to look."""
    start_response("200 OK", [])
    try:
        yield b"begun"
        while True:
            yield b""
            gate.wait(0.01)
    finally:
        inside.release()


class Closing:
    """A body whose close() takes its time."""

    def __iter__(self):
        return iter([b"all of it"])

    def close(self):
        gate.wait(60)


def close_waits(environ, start_response):
    start_response("200 OK", [("Content-Length", "9")])
    return Closing()


def close_waits_later(environ, start_response):
    gate.wait(0.05)
    return close_waits(environ, start_response)


def whole_then_error(environ, start_response):
    start_response("200 OK", [("Content-Length", "9")])
    yield b"all of it"
    raise ValueError("after the end")


PATHS = {
    "/error": whole_then_error,
    "/said": said,
    "/file": file,
    "/endless": endless,
    "/ticks": ticks,
    "/polls": polls,
    "/closing": close_waits,
    "/closing-later": close_waits_later,
    "/echo": echo,
    "/wait": wait,
    "/exit": leave,
    "/big": big,
    "/pieces": big_pieces,
    "/piece": piece_then_wait,
    "/half": half,
}
