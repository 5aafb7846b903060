"""The parser, with bytes alone."""

from __future__ import annotations

import io
import itertools
import tracemalloc

import pytest

from superwsgi.config.sections import Limits
from superwsgi.http.client.peers import Trusted
from superwsgi.http.request.framing import AT_ONCE
from superwsgi.http.request.parser import Parser, Phase, RequestIds
from tests.http.request.feeding import BEHIND, Fed, odd_pieces, parse, three_ways

pytestmark = pytest.mark.usefixtures("reader")  # by Python, and by C

GET = b"GET /path?query=1 HTTP/1.1\r\nHost: example.com\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@three_ways
def test_a_request_without_a_body(way):
    parser = parse(GET, way)
    request = parser.requests.popleft()
    assert (request.method, request.target, request.version) == ("GET", b"/path?query=1", "HTTP/1.1")
    assert request.keep_alive
    assert request.environ["PATH_INFO"] == "/path"
    assert request.environ["QUERY_STRING"] == "query=1"
    assert request.environ["HTTP_HOST"] == "example.com"
    assert request.input().read() == b""
    assert len(parser.requests) == (way == "behind")
    assert parser.phase is Phase.BETWEEN


@three_ways
def test_a_body_of_known_length(way):
    parser = parse(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", way)
    request = parser.requests.popleft()
    assert request.input().read() == b"hello"
    assert request.environ["CONTENT_LENGTH"] == "5"


@three_ways
def test_a_chunked_body_has_a_length_once_it_is_here(way):
    body = b"5;extension=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: dropped\r\n\r\n"
    request = parse(CHUNKED + body, way).requests.popleft()
    assert request.input().read() == b"hello world"
    assert request.environ["CONTENT_LENGTH"] == "11"
    assert "HTTP_TRANSFER_ENCODING" not in request.environ
    assert "HTTP_X_SUM" not in request.environ


def chunk(content, size="%x"):
    return (size % len(content)).encode() + b"\r\n" + content + b"\r\n"


TINY = [
    [b"x"] * 3000,
    [b"\r", b"\n"] * 1500,
    [b"%d" % n for n in range(3000)],
    [b"y" * (n % 40 + 1) for n in range(3000)],
    [b"1\r\nX\r\n"] * 1500,
]


@pytest.mark.parametrize("size", ["%x", "%X", "%03x", "%x;a=b"])
@pytest.mark.parametrize("contents", TINY, ids=range(len(TINY)))
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_chunks_of_a_few_bytes(contents, size, seed):
    data = CHUNKED + b"".join(chunk(content, size) for content in contents) + b"0\r\n\r\n" + BEHIND
    request, behind = Fed().feed(*odd_pieces(data, seed)).requests
    assert request.input().read() == b"".join(contents)
    assert behind.target == b"/behind"


def test_no_more_chunks_are_read_in_one_go_than_may_be():
    """Whoever sends bytes one by one must not keep others waiting."""
    parser = Parser(Limits(), {}, RequestIds())
    parser.feed(CHUNKED + chunk(b"x") * 10 * AT_ONCE + b"0\r\n\r\n")
    sizes = [parser.received]
    while parser.behind:
        parser.go_on()
        sizes.append(parser.received)
    assert all(0 < after - before <= AT_ONCE + 1 for before, after in itertools.pairwise(sizes[:-1]))
    assert parser.pop().input().read() == b"x" * 10 * AT_ONCE
    assert not parser.behind


@pytest.mark.parametrize("line", [b"1;a=b", b"01", b'1;a="b c"'])
def test_chunks_that_take_longer_to_read_are_fewer_at_once(line):
    parser = Parser(Limits(), {}, RequestIds())
    parser.feed(CHUNKED + (line + b"\r\nx\r\n") * AT_ONCE + b"0\r\n\r\n")
    assert parser.behind
    assert 0 < parser.received <= AT_ONCE // 4


@pytest.mark.parametrize("content", [b"x", b"0123456789"])
def test_tiny_chunks_have_the_limit_of_others(content):
    fed = Fed(body=1000).feed(CHUNKED, chunk(content) * 1001)
    assert fed.error.status == 413
    assert not fed.parser.behind


@three_ways
def test_a_body_outgrows_memory(way):
    body = b"0123456789" * 10
    data = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + body
    request = parse(data, way, body_memory=16).requests.popleft()
    with request.input() as spilled:
        assert not isinstance(spilled, io.BytesIO)
        assert spilled.read() == body


def test_pipelined_requests_keep_their_order():
    parser = parse(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(50)))
    assert [request.target for request in parser.requests] == [b"/%d" % n for n in range(50)]


def test_pipelined_requests_wait_as_bytes():
    fed = Fed()
    data = GET * (65536 // len(GET))
    tracemalloc.start()
    try:
        fed.parser.feed(data)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(fed.parser.requests) == 1
    assert kept < 16 << 10
    assert len(fed.feed(b"\r\n", GET).requests) == 65536 // len(GET) + 1


def test_what_nobody_will_answer_leaves_no_file_open():
    for body in (b"4\r\n1234\r\n", b"4\r\n1234\r\n0\r\n\r\n", b"4\r\n1234\r\nx\r\n"):
        parser = Fed(body_memory=2).parser
        parser.feed(CHUNKED + body)
        file = parser.next.body.file
        parser.close()
        assert file.closed
        assert parser.next is None or not parser.requests


def test_an_error_comes_behind_the_requests_before_it():
    parser = parse(GET + b"nonsense\r\n\r\n")
    assert len(parser.requests) == 1
    assert parser.error is not None
    assert parser.error.status == 400


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /a\rb HTTP/1.1\r\nHost: ",
        b"GET / HTTP/1.1\r\nA: b\rc",
        b"GET / HTTP/1.1\r\n\nA",
        b"\x16",
        b"GET /\n",
    ],
)
@pytest.mark.parametrize("way", ["whole", "bytes"])
def test_a_client_that_waits_for_an_answer_to_nonsense_gets_one(begun, way):
    assert parse(begun, way).error.status == 400


@pytest.mark.parametrize("end", [b"a: b\r\r\n\r\n", b"a: b\n\r\n\r\n", b"a: b\r\n\n\r\n\r\n"])
@pytest.mark.parametrize("way", ["whole", "bytes"])
def test_a_bare_line_end_weighs_more_than_too_many_fields(end, way):
    assert parse(b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n" + end, way, fields=2).error.status == 400


def test_nothing_is_parsed_after_an_error():
    parser = parse(b"nonsense\r\n\r\n")
    parser.feed(GET)
    assert not parser.requests


@three_ways
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET relative HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n", 417),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400),
    ],
)
def test_what_is_refused(data, status, way):
    parser = parse(data, way)
    assert parser.error is not None
    assert parser.error.status == status
    assert not parser.requests


@three_ways
@pytest.mark.parametrize(
    ("data", "limits", "status"),
    [
        (b"GET /" + b"a" * 90 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {"line": 80}, 414),
        (b"GET /" + b"a" * 90, {"line": 80}, 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 200 + b"\r\n\r\n", {"head": 200}, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 300, {"head": 200}, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 10 + b"\r\n", {"fields": 10}, 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n", {"body": 10}, 413),
        (CHUNKED + b"6\r\n123456\r\n5\r\n12345\r\n", {"body": 10}, 413),
    ],
)
def test_limits(data, limits, status, way):
    parser = parse(data, "whole" if way == "behind" else way, **limits)
    assert parser.error is not None
    assert parser.error.status == status


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n0123456789a",
        CHUNKED + b"6\r\n012345\r\n5\r\n6789a\r\n0\r\n\r\n",
    ],
)
def test_a_limit_of_0_is_none_for_bodies(data):
    fed = Fed(body=0).feed(data)
    assert fed.error is None
    assert fed.requests[0].input().read() == b"0123456789a"


@pytest.mark.parametrize("begin", [b"6;", b"0\r\nT: "])
def test_chunk_extensions_and_trailers_do_not_go_on_for_ever(begin):
    parser = parse(CHUNKED + begin, head=200)
    for _ in range(3):
        parser.feed(b"e" * 100)
    assert parser.error is not None
    assert parser.error.status == 431


@three_ways
def test_limits_are_not_met_by_what_is_within_them(way):
    head = b"GET /" + b"a" * 40 + b" HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 120 + b"\r\n\r\n"
    parser = parse(head, way, line=54, head=len(head), fields=2)
    assert parser.error is None
    assert parser.requests


@three_ways
@pytest.mark.parametrize(
    "framing",
    [
        (b"Content-Length: 5\r\n\r\nhello"),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ],
)
def test_an_upgrade_that_nobody_takes_up_does_not_swallow_the_body(framing, way):
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
    parser = parse(head + framing, way)
    assert parser.error is None
    assert parser.requests.popleft().input().read() == b"hello"
    assert [request.target for request in parser.requests] == [b"/behind"] * (way == "behind")


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: close\r\n", False),
        ("1.0", "", False),
        ("1.0", "Connection: keep-alive\r\n", True),
    ],
)
def test_keep_alive(version, connection, kept):
    request = parse(f"GET / HTTP/{version}\r\nHost: x\r\n{connection}\r\n".encode()).requests[0]
    assert request.keep_alive is kept


def test_continue_is_wanted_once_and_only_before_the_body():
    parser = parse(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert parser.parser.wants_continue()
    assert not parser.parser.wants_continue()
    parser.feed(b"ok")
    assert parser.requests[0].input().read() == b"ok"


def test_continue_is_not_wanted_by_who_sends_anyway():
    parser = parse(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\no")
    assert not parser.parser.wants_continue()


class TestAClientThatRepeatsItself:
    def parser(self, *fed: bytes) -> Fed:
        return Fed().feed(*fed)

    def test_every_request_has_an_environ_of_its_own(self):
        parser = self.parser(GET)
        for n in range(4):
            request = parser.requests.popleft()
            assert request.environ["PATH_INFO"] == "/path"
            assert "mark" not in request.environ
            request.environ["mark"] = n
            parser.feed(GET)

    def test_another_request_in_between(self):
        parser = self.parser(GET, GET, GET, BEHIND, GET, GET, GET)
        assert [r.target for r in parser.requests][3] == b"/behind"
        assert len(parser.requests) == 7

    def test_half_requests(self):
        parser = self.parser(*[GET[:20], GET[20:]] * 4)
        assert len(parser.requests) == 4

    def test_the_same_piece_of_a_body(self):
        post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (2 * len(GET))
        parser = self.parser(GET, GET, GET, post, GET, GET)
        assert parser.requests[-1].input().read() == GET + GET

    def test_empty_lines(self):
        parser = self.parser(GET, b"\r\n", b"\r\n", b"\r\n", GET)
        assert len(parser.requests) == 2
        assert parser.error is None


HTTPS = b"GET https://a/ HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n"


@three_ways
class TestAnHttpsTarget:
    @pytest.mark.parametrize("field", [b"X-Forwarded-Proto: https", b"Forwarded: proto=https"])
    def test_that_a_trusted_proxy_answers_for(self, way, field):
        fed = parse(HTTPS % field, way, Trusted(["127.0.0.1/32"]))
        assert fed.error is None
        assert fed.requests[0].environ["wsgi.url_scheme"] == "https"

    @pytest.mark.parametrize("field", [b"X-Forwarded-Proto: http", b"Forwarded: proto=http", b"A: b"])
    def test_that_a_trusted_proxy_does_not_answer_for(self, way, field):
        assert parse(HTTPS % field, way, Trusted(["127.0.0.1/32"])).error.status == 421

    @pytest.mark.parametrize("field", [b"X-Forwarded-Proto: https", b"Forwarded: proto=https"])
    def test_that_only_the_client_answers_for(self, way, field):
        assert parse(HTTPS % field, way).error.status == 421


@three_ways
@pytest.mark.parametrize(
    ("data", "asks"),
    [
        (b"HEAD / HTTP/1.1\r\n\r\n", True),
        (b"HEAD / HTTP/1.1\r\nA: \0\r\n\r\n", True),
        (b"\r\n\r\nHEAD / HTTP/9.9\r\nHost: a\r\n\r\n", True),
        (b"HEAD  / HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"HEAD /" + b"a" * 9000, True),
        (b"HEADER / HTTP/1.1\r\nHost: a\r\n\r\n", False),
        (b"GET /HEAD HTTP/1.1\r\nA: HEAD \r\n\r\n", False),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\nHEAD ", False),
    ],
)
def test_a_refused_request_for_a_head_is_known_as_one(way, data, asks):
    parser = parse(data, way).parser
    assert parser.error is not None
    assert parser.for_head is asks


@pytest.mark.parametrize(("data", "asks"), [(b"HEAD / HTTP/1.1\r\nHo", True), (b"HEAD", False), (b"", False)])
def test_an_unfinished_one_as_well(data, asks):
    assert Fed().feed(data).parser.for_head is asks
