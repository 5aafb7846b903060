"""Work of many kinds, by path; every small answer says version and process.

The query `unbuffered` asks nginx to pass the answer on as it comes.
"""

import os
import tempfile
import time

BIG = 50 << 20


def make(version):
    def app(environ, start_response):
        _, what, *amount = environ["PATH_INFO"].split("/")
        unbuffered = [("X-Accel-Buffering", "no")] if environ["QUERY_STRING"] == "unbuffered" else []
        start_response("200 OK", [("Content-Type", "text/plain"), *unbuffered])
        return WORK.get(what, lambda *_: [f"{version} {os.getpid()}".encode()])(environ, *map(float, amount))

    return app


def sleep(environ, seconds):
    time.sleep(seconds)
    return [str(os.getpid()).encode()]


def rest(environ, seconds):
    """Says so, and sleeps."""
    yield b"begun"
    time.sleep(seconds)


def spin(environ, seconds):
    """Says so, and computes."""
    yield b"begun"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def file(environ):
    content = tempfile.TemporaryFile()
    content.truncate(BIG)
    return environ["wsgi.file_wrapper"](content)


def whole(environ):
    return [b"x" * BIG]


def pieces(environ):
    return (bytes(1 << 16) for _ in range(BIG >> 16))


WORK = {"sleep": sleep, "rest": rest, "spin": spin, "file": file, "whole": whole, "pieces": pieces}
app = make("one")
