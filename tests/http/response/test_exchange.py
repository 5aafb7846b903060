"""Applications, good and bad, and what their clients get."""

from __future__ import annotations

import array
import io
import itertools
import re
import sys

import pytest

from tests.http.response.answering import Answers, Run, says


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
    assert run.client.by_connection == [True, False]


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
@pytest.mark.parametrize("body", [[b"hello"], lambda: iter([b"hello"]), lambda: itertools.repeat(b"hello")])
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


def test_content_length_may_ask_for_a_part_of_a_file():
    def app(environ, start_response):
        from superwsgi.http.files import FileWrapper

        start_response("200 OK", [("Content-Length", "3")])
        return FileWrapper(io.BytesIO(b"0123456789"))

    run = Run(app)
    assert run.client.body == b"012"
    assert run.log == ""


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


@pytest.mark.parametrize("body", [[b"no"], lambda: iter([b"no"]), lambda: itertools.repeat(b"no"), []])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("fields", [[], [("Content-Length", "2")]])
def test_reset_content_has_none(body, method, fields):
    run = Run(says("205 Reset Content", fields, body), method)
    assert run.client.head.count("Content-Length: 0") == run.client.head.count("Content-Length") == 1
    assert run.client.body == b""
    assert run.exchange.keep_alive
    assert not run.exchange.broken


class Endless:
    """A body without an end, that knows how often it was asked for more; closed once."""

    def __init__(self, piece=b"x" * 10):
        self.piece = piece
        self.asked = self.closed = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.asked += 1
        assert not self.closed
        assert self.asked < 10, "asked for more and more"
        return self.piece

    def close(self):
        self.closed += 1


@pytest.mark.parametrize(
    ("method", "status", "fields", "asked"),
    [
        ("HEAD", "200 OK", [], 1),
        ("HEAD", "200 OK", [("Content-Length", "25")], 1),
        ("GET", "204 No Content", [], 1),
        ("GET", "205 Reset Content", [], 1),
        ("GET", "304 Not Modified", [], 1),
        ("GET", "200 OK", [("Content-Length", "0")], 1),
        ("GET", "200 OK", [("Content-Length", "10")], 2),
        ("GET", "200 OK", [("Content-Length", "25")], 3),
    ],
)
def test_an_endless_body_is_closed_where_nothing_of_it_can_be_sent(method, status, fields, asked):
    body = Endless()
    run = Run(says(status, fields, body), method)
    assert (body.asked, body.closed) == (asked, 1)
    assert run.exchange.complete
    assert run.exchange.keep_alive
    assert run.log.count("\n") == (method == "GET" and bool(fields))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_generator_is_ended_where_nothing_of_it_can_be_sent(method):
    ended = []

    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "3")])
        try:
            while True:
                yield b"xx"
        finally:
            ended.append(True)

    run = Run(app, method)
    assert ended == [True]
    assert run.client.body == (b"xxx" if method == "GET" else b"")


def test_an_application_that_says_no_more_than_it_promised_is_heard_to_its_end():
    said = []

    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "2")])
        yield b"xx"
        yield b""
        said.append("done")

    assert Run(app).client.body == b"xx"
    assert said == ["done"]


def test_write_beyond_the_length_is_the_applications_error():
    errors = []

    def app(environ, start_response):
        write = start_response("200 OK", [("Content-Length", "5")])
        write(b"hel")
        for _ in range(1000):
            try:
                write(b"lo, world")
            except Exception as error:
                errors.append(str(error))
        return []

    run = Run(app)
    assert run.client.body == b"hello"
    assert errors == ["write() beyond Content-Length 5"] * 1000
    assert run.exchange.complete
    assert not run.log


def test_write_beyond_the_length_that_nobody_catches_is_logged_once():
    def app(environ, start_response):
        write = start_response("200 OK", [("Content-Length", "5")])
        while True:
            write(b"xxx")

    run = Run(app)
    assert run.client.body == b"xxxxx"
    assert run.log.count("request failed") == 1
    assert "write() beyond Content-Length 5" in run.log


def test_a_list_beyond_the_length_behind_write():
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "5")])(b"hel")
        return [b"lo, world"]

    run = Run(app)
    assert run.client.body == b"hello"
    assert run.log.count("longer than its Content-Length 5") == 1
    assert run.exchange.complete


def test_write_for_head_ends_when_the_client_left():
    def app(environ, start_response):
        write = start_response("200 OK", [])
        while True:
            write(b"x")

    run = Run(app, "HEAD", patience=1)
    assert run.exchange.broken
    assert run.client.body == b""


def test_write_for_head_is_heard_to_its_end():
    def app(environ, start_response):
        write = start_response("200 OK", [])
        write(b"one")
        write(b"two")
        return [b"three"]

    run = Run(app, "HEAD")
    assert run.exchange.complete
    assert not run.log
    assert run.client.body == b""


class Forged(bytes):
    """Bytes that give themselves out for others."""

    def __len__(self):
        return 1

    def __bool__(self):
        return False

    def __getitem__(self, at):
        return b"evil"

    def __bytes__(self):
        return b"evil"


PIECES = [
    b"abcd",
    bytearray(b"abcd"),
    memoryview(b"abcd"),
    memoryview(array.array("H", [0x6261, 0x6463])),
    array.array("B", b"abcd"),
    Forged(b"abcd"),
]


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: type(piece).__name__)
@pytest.mark.parametrize("kind", [list, tuple, iter])
@pytest.mark.parametrize("fields", [[], [("Content-Length", "4")]])
@pytest.mark.skipif(sys.byteorder == "big", reason="one of the pieces is of two-byte numbers")
def test_whatever_has_bytes_will_do(piece, kind, fields):
    run = Run(says(fields=fields, body=lambda: kind([piece])))
    assert run.client.body == (b"4\r\nabcd\r\n0\r\n\r\n" if kind is iter and not fields else b"abcd")
    assert not run.log


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: type(piece).__name__)
def test_whatever_has_bytes_may_be_written(piece):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "8")])(piece)
        return [piece]

    assert Run(app).client.body == b"abcd" * 2


def test_a_bytearray_may_be_used_again():
    def app(environ, start_response):
        start_response("200 OK", [])
        buffer = bytearray(b"one")
        yield buffer
        buffer[:] = b"two"
        yield buffer

    assert Run(app).client.body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


@pytest.mark.parametrize("piece", ["text", 5, None, [b"x"], memoryview(b"abcd")[::2]])
@pytest.mark.parametrize("kind", [list, iter])
def test_what_has_no_bytes_is_a_500(piece, kind):
    run = Run(says(body=lambda: kind([piece])))
    assert run.client.status == 500
    assert type(piece).__name__ in run.log


class Reversed(list):
    """A list that is walked in its own way."""

    def __iter__(self):
        return iter(list.copy(self)[::-1])


class Plain(list):
    """A list like any other."""


@pytest.mark.parametrize(("kind", "body"), [(Reversed, b"ba"), (Plain, b"ab")])
def test_a_subclass_of_list_says_what_it_is_walked_as(kind, body):
    run = Run(says(fields=[("Content-Length", "2")], body=kind([b"a", b"b"])))
    assert run.client.body == body


@pytest.mark.parametrize("value", [None, 5, Forged(b"x")])
def test_the_log_names_the_path_whatever_became_of_the_environ(value):
    def app(environ, start_response):
        environ["PATH_INFO"] = value
        raise ValueError

    run = Run(app)
    assert run.client.status == 500
    assert "path=/here\n" in run.log


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


def test_some_connections_are_to_go_to_other_workers():
    answers = Answers(says())
    answers.gateway.parting = 2
    kept = [answers.ask()[1].keep_alive for _ in range(3)]
    assert (kept, answers.gateway.parting) == ([False, False, True], 0)


def test_one_that_ends_anyway_is_none_of_those():
    answers = Answers(says(fields=[("Connection", "close")]))
    answers.gateway.parting = 1
    assert not answers.ask()[1].keep_alive
    assert not answers.ask(version="1.0")[1].keep_alive


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


@pytest.mark.parametrize(
    ("fields", "piece", "version", "void"),
    [
        ([("Content-Type", "text/event-stream")], b"data: 1\n\n", "1.0", b":\n"),
        ([("content-type", "text/event-stream; charset=utf-8")], b"data: 1\n", "1.0", b":\n"),
        ([("Content-Type", "text/event-stream")], b"data: 1", "1.0", b""),
        ([("Content-Type", "text/event-stream"), ("Content-Encoding", "gzip")], b"\n", "1.0", b""),
        ([("Content-Type", "text/plain")], b"data: 1\n\n", "1.0", b""),
        ([("Content-Type", "text/plain")], b"data: 1\n\n", "1.1", b"0"),
        ([("Content-Length", "9")], b"data: 1\n\n", "1.1", b""),
    ],
)
def test_what_may_be_sent_between_two_pieces(fields, piece, version, void):
    run = Run(says(fields=fields, body=lambda: iter([piece])), version=version)
    assert [each for each in run.client.voids if each] == ([void] if void else [])
    assert not run.client.void
