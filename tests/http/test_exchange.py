"""Applications, good and bad, and what their clients get."""

from __future__ import annotations

import os
import re
import sys

import pytest

from superwsgi.http.errors import ClientGone
from superwsgi.http.exchange import Exchange, Gateway
from superwsgi.log.error import ErrorLog
from tests.http.feeding import parse


class Recorder:
    """A channel that keeps what it is sent; after `patience` calls the client is gone."""

    def __init__(self, patience: int = 1000) -> None:
        self.pieces: list[bytes] = []
        self.patience = patience
        self.followed = False

    @property
    def gone(self) -> bool:
        return len(self.pieces) >= self.patience

    def send(self, data):
        if len(self.pieces) >= self.patience:
            raise ClientGone
        self.pieces.append(data)

    send_piece = send
    send_last = send

    def send_file(self, span):
        self.send(os.pread(span.fd, span.size, span.offset))

    @property
    def head(self) -> str:
        return b"".join(self.pieces).partition(b"\r\n\r\n")[0].decode("latin-1")

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces).partition(b"\r\n\r\n")[2]

    @property
    def status(self) -> int:
        return int(self.head.split()[1])


class Run:
    """`app` has answered one request."""

    def __init__(self, app, method="GET", version="1.1", *, patience=1000, closing=False):
        read, write = os.pipe()
        gateway = Gateway(app, ErrorLog(write, "info"), closing=closing)
        request = parse(f"{method} /here HTTP/{version}\r\nHost: x\r\n\r\n".encode()).requests[0]
        self.client = Recorder(patience)
        self.exchange = Exchange(gateway, request, self.client, now=1)
        self.exchange.answer()
        os.close(write)
        with open(read) as log:
            self.log = log.read()


def says(status="200 OK", fields=(), body=(b"hello",)):
    def app(environ, start_response):
        start_response(status, list(fields))
        return body() if callable(body) else body

    return app


def test_a_list_has_a_length():
    run = Run(says(body=[b"hel", b"lo"]))
    assert run.client.head.startswith("HTTP/1.1 200 OK\r\n")
    assert "Content-Length: 5" in run.client.head
    assert run.client.body == b"hello"
    assert len(run.client.pieces) == 1
    assert (run.exchange.status, run.exchange.sent) == (200, 5)
    assert run.exchange.keep_alive
    assert not run.log


def test_server_and_date_are_added_unless_given():
    assert "Server: superwsgi\r\nDate: " in Run(says()).client.head
    run = Run(says(fields=[("Server", "mine"), ("Date", "today")]))
    assert run.client.head.count("Server:") == run.client.head.count("Date:") == 1


def test_a_generator_is_chunked_and_sent_piece_by_piece():
    run = Run(says(body=lambda: iter([b"a", b"", b"bc"])))
    assert "Transfer-Encoding: chunked" in run.client.head
    assert run.client.body == b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"
    assert len(run.client.pieces) == 3


def test_a_generator_of_known_length():
    run = Run(says(fields=[("Content-Length", "3")], body=lambda: iter([b"a", b"bc"])))
    assert "chunked" not in run.client.head
    assert run.client.body == b"abc"


def test_a_generator_for_an_old_client_ends_with_the_connection():
    run = Run(says(body=lambda: iter([b"a", b"bc"])), version="1.0")
    assert run.client.body == b"abc"
    assert "Connection: close" in run.client.head
    assert not run.exchange.keep_alive
    assert run.exchange.unmarked


def test_write_and_then_a_list():
    def app(environ, start_response):
        write = start_response("200 OK", [])
        write(b"one")
        write(b"two")
        return [b"three"]

    assert Run(app).client.body == b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n"


def test_start_response_as_late_as_the_first_piece():
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "2")])
        yield b"ok"

    assert Run(app).client.body == b"ok"


@pytest.mark.parametrize(
    ("method", "status", "framed"),
    [("HEAD", "200 OK", False), ("GET", "204 No Content", False), ("GET", "304 Not Modified", False)],
)
@pytest.mark.parametrize("body", [[b"hello"], lambda: iter([b"hello"])])
def test_responses_without_a_body(method, status, framed, body):
    run = Run(says(status, body=body), method)
    assert run.client.body == b""
    assert "chunked" not in run.client.head
    assert "Content-Length" not in run.client.head
    assert run.exchange.keep_alive


def test_head_keeps_the_length_that_the_application_told():
    run = Run(says(fields=[("Content-Length", "5")]), "HEAD")
    assert "Content-Length: 5" in run.client.head
    assert run.client.body == b""
    assert not run.exchange.broken


def test_file_wrapper_sends_the_file_from_where_it_stands(tmp_path):
    (tmp_path / "file").write_bytes(b"0123456789")
    opened = open(tmp_path / "file", "rb")
    opened.seek(4)

    def app(environ, start_response):
        from superwsgi.http.files import FileWrapper

        start_response("200 OK", [])
        return FileWrapper(opened)

    run = Run(app)
    assert "Content-Length: 6" in run.client.head
    assert run.client.body == b"456789"
    assert opened.closed


def test_file_wrapper_around_something_that_is_no_file():
    class Source:
        closed = False
        pieces = iter([b"a", b"b", b""])

        def read(self, size):
            return next(self.pieces)

        def close(self):
            self.closed = True

    source = Source()

    def app(environ, start_response):
        from superwsgi.http.files import FileWrapper

        start_response("200 OK", [])
        return FileWrapper(source)

    assert Run(app).client.body == b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"
    assert source.closed


def fails(environ, start_response):
    raise ValueError("told to")


def exits(environ, start_response):
    sys.exit(3)


def interrupts(environ, start_response):
    raise KeyboardInterrupt


def never_starts(environ, start_response):
    return [b"hello"]


def starts_twice(environ, start_response):
    start_response("200 OK", [])
    start_response("200 OK", [])
    return []


def returns_none(environ, start_response):
    start_response("200 OK", [])


@pytest.mark.parametrize(
    "app",
    [
        fails,
        exits,
        interrupts,
        never_starts,
        starts_twice,
        returns_none,
        says(body=["text"]),
        says(body=lambda: iter(["text"])),
        says(200),
        says("OK"),
        says("200 OK\r\nEvil: 1"),
        says("100 Continue"),
        says("99 Low"),
        says(fields=[("A", "b\r\nEvil: 1")]),
        says(fields=[("A\r\nEvil", "1")]),
        says(fields=[("A", "\u20ac")]),
        says(fields=[("A", b"bytes")]),
        says(fields=[(b"A", "bytes")]),
        says(fields=[("A", None)]),
        says(fields=[("Connection", "close")]),
        says(fields=[("Transfer-Encoding", "chunked")]),
        says(fields=[("Content-Length", "-1")]),
        says(fields=[("Content-Length", "1"), ("Content-Length", "2")]),
    ],
)
def test_broken_applications_get_their_clients_a_500_and_the_log_a_traceback(app):
    run = Run(app)
    assert run.client.status == 500
    assert "Evil" not in run.client.head
    assert run.client.body == b"500 Internal Server Error\n"
    assert "request failed" in run.log
    assert run.exchange.status == 500
    assert run.exchange.keep_alive


@pytest.mark.parametrize(
    ("app", "error"),
    [
        (says(body=["text"]), "TypeError: "),
        (says(body=lambda: iter(["text"])), "WsgiError: body of str, not bytes"),
        (says(b"200 OK"), "WsgiError: status is bytes, not str"),
        (says(fields=[(b"A", "bytes")]), "WsgiError: not a field name: b'A'"),
        (says(fields=[("A", b"bytes")]), "WsgiError: the value of A is bytes, not str"),
    ],
)
def test_wrong_types_are_named(app, error):
    assert error in Run(app).log


def test_the_log_has_no_frames_of_the_server():
    assert set(re.findall(r'File "(.*?)"', Run(fails).log)) == {__file__}


def test_fields_that_are_no_tuples():
    assert "A: b\r\n" in Run(says(fields=(["A", "b"], ("C", "d")))).client.head


def test_nothing_of_the_error_reaches_the_client():
    run = Run(fails)
    assert b"told to" not in b"".join(run.client.pieces)
    assert "ValueError: told to" in run.log
    assert "path=/here" in run.log


def test_failing_half_way_breaks_the_response_off():
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"half"
        raise ValueError

    run = Run(app)
    assert run.client.body == b"4\r\nhalf\r\n"
    assert run.exchange.broken


def test_failing_before_the_first_piece_is_still_a_500():
    def app(environ, start_response):
        start_response("200 OK", [])
        raise ValueError
        yield b""

    assert Run(app).client.status == 500


def test_too_short_is_broken():
    run = Run(says(fields=[("Content-Length", "9")]))
    assert run.exchange.broken
    assert "shorter" in run.log


def test_too_long_is_cut():
    run = Run(says(fields=[("Content-Length", "3")], body=lambda: iter([b"he", b"llo"])))
    assert run.client.body == b"hel"
    assert not run.exchange.broken
    assert "longer" in run.log


def test_exc_info_replaces_what_was_not_sent():
    def app(environ, start_response):
        start_response("200 OK", [])
        try:
            raise ValueError
        except ValueError:
            start_response("503 Sorry", [], sys.exc_info())
        return [b"sorry"]

    run = Run(app)
    assert (run.client.status, run.client.body) == (503, b"sorry")


def test_exc_info_without_a_traceback():
    def app(environ, start_response):
        start_response("503 Sorry", [], (ValueError, ValueError(), None))
        return [b"sorry"]

    assert Run(app).client.status == 503


def test_exc_info_after_the_first_piece_is_raised():
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"half"
        try:
            raise ValueError("too late")
        except ValueError:
            start_response("500 Sorry", [], sys.exc_info())

    run = Run(app)
    assert run.exchange.broken
    assert "too late" in run.log


class Closing:
    """A body that remembers whether it was closed."""

    def __init__(self, pieces):
        self.pieces = pieces
        self.closed = 0

    def __iter__(self):
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def close(self):
        self.closed += 1


@pytest.mark.parametrize("patience", [0, 1, 1000])
@pytest.mark.parametrize("pieces", [[], [b"a", b"b"], ["text"], [ValueError()], [b"a", ValueError()]])
def test_close_is_called_once_however_it_ends(pieces, patience):
    body = Closing(pieces)
    Run(says(body=body), patience=patience)
    assert body.closed == 1


def test_an_error_in_close_is_logged():
    class Bad(list):
        def close(self):
            raise SystemExit("bad close")

    run = Run(says(body=Bad([b"fine"])))
    assert run.client.body == b"fine"
    assert "bad close" in run.log


def test_a_client_that_left_is_no_error():
    run = Run(says(body=lambda: iter([b"a", b"b"])), patience=1)
    assert run.exchange.broken
    assert not run.log


def test_the_last_response_of_a_connection_says_so():
    assert "Connection: close" in Run(says(), closing=True).client.head
    assert "Connection" not in Run(says()).client.head


def test_nothing_at_all():
    run = Run(says(body=lambda: iter([])))
    assert "Content-Length: 0" in run.client.head
    assert run.client.body == b""


def test_a_response_has_the_id_of_its_request():
    run = Run(lambda environ, start: start("200 OK", []) and [environ["HTTP_X_REQUEST_ID"].encode()])
    assert (
        re.search("^X-Request-ID: (.*)$", run.client.head, re.MULTILINE)[1].strip()
        == run.client.body.decode()
    )


def test_an_application_may_choose_another():
    run = Run(lambda environ, start: start("200 OK", [("x-request-id", "mine")]) and [b""])
    assert re.findall("(?i)^x-request-id: (.*?)\r?$", run.client.head, re.MULTILINE) == ["mine"]


def fails_in_close(environ, start):
    class Pieces(list):
        def close(self):
            raise ValueError

    start("200 OK", [])
    return Pieces([b"x"])


def says_too_much(environ, start):
    start("200 OK", [("Content-Length", "1")])
    return [b"xx"]


@pytest.mark.parametrize("app", [fails, fails_in_close, says_too_much])
def test_what_the_log_says_of_a_request_has_its_id(app):
    run = Run(app)
    identity = re.search("X-Request-ID: ([^\r]*)", run.client.head)[1]
    assert f" request={identity} " in run.log


@pytest.mark.parametrize(("method", "sent"), [("GET", 26), ("HEAD", 0)])
def test_the_servers_own_page_counts_as_sent(method, sent):
    run = Run(fails, method)
    assert run.exchange.sent == len(run.client.body) == sent
