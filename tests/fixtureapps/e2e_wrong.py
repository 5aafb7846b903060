"""Applications that break PEP 3333 or fail, each mounted under its name."""

import itertools
import sys

TEXT = [("Content-Type", "text/plain")]


def raises(environ, start_response):
    raise ValueError("secret of the application")


def exits(environ, start_response):
    sys.exit(3)


def interrupts(environ, start_response):
    raise KeyboardInterrupt


def leaves(environ, start_response):
    raise GeneratorExit


def no_start_response(environ, start_response):
    return [b"x"]


def none(environ, start_response):
    start_response("200 OK", TEXT)


def twice(environ, start_response):
    start_response("200 OK", TEXT)
    start_response("200 OK", TEXT)
    return [b"x"]


def str_body(environ, start_response):
    start_response("200 OK", TEXT)
    return ["text"]


def str_piece(environ, start_response):
    start_response("200 OK", TEXT)
    yield "text"


def str_write(environ, start_response):
    start_response("200 OK", TEXT)("text")
    return []


def crlf_in_field(environ, start_response):
    start_response("200 OK", [("X-Name", "a\r\nSet-Cookie: evil=1")])
    return [b"x"]


def crlf_in_name(environ, start_response):
    start_response("200 OK", [("X-Name: a\r\nSet-Cookie", "evil=1")])
    return [b"x"]


def crlf_in_status(environ, start_response):
    start_response("200 OK\r\nSet-Cookie: evil=1", TEXT)
    return [b"x"]


def short_status(environ, start_response):
    start_response("20", TEXT)
    return [b"x"]


def bytes_status(environ, start_response):
    start_response(b"200 OK", TEXT)
    return [b"x"]


def too_short(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "10")])
    return [b"01234"]


def too_long(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "5")])
    return [b"0123456789"]


def long_without_end(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "5")])
    yield from itertools.cycle([b"012", b"345"])


def writes_without_end(environ, start_response):
    write = start_response("200 OK", [*TEXT, ("Content-Length", "5")])
    for piece in itertools.cycle([b"012", b"345"]):
        write(piece)


def half_way(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"half"
    raise ValueError("secret of the application")


def half_way_with_length(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "10")])
    yield b"half"
    raise ValueError("secret of the application")


def replaced_too_late(environ, start_response):
    """exc_info after the head was sent: start_response has to raise it again."""
    start_response("200 OK", TEXT)(b"half")
    try:
        raise ValueError("secret of the application")
    except ValueError:
        start_response("500 Internal Server Error", TEXT, sys.exc_info())
    return [b"never sent"]
