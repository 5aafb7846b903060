"""The corpus against a real daemon, whole, byte by byte and in odd pieces.

What is malformed is refused without reaching the application, what is odd but right is served.
"""

import contextlib
import itertools
import json
import socket

import pytest

from tests.e2e.daemon import read_all, wait_for
from tests.e2e.wire import Wire
from tests.http.request.feeding import bytewise, odd_pieces
from tests.http.request.legitimate import LEGITIMATE
from tests.http.request.malformed import MALFORMED

APP = """
    import json
    seen = []
    def app(environ, start_response):
        seen.append(environ["RAW_URI"])
        known = {key: value for key, value in environ.items() if isinstance(value, str)}
        body = environ["wsgi.input"].read().decode("latin-1")
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"environ": known, "body": body, "seen": len(seen)}).encode()]
"""
SMALL = 300
"""Bytes that are worth sending one by one."""


def whole(data):
    return [data]


def one_by_one(data):
    return itertools.chain([data[:-SMALL]] if len(data) > SMALL else [], bytewise(data[-SMALL:]))


def in_odd_pieces(data):
    return odd_pieces(data, len(data))


ways = pytest.mark.parametrize("way", [whole, one_by_one, in_odd_pieces])


@pytest.fixture(scope="module")
def site(shared_daemon):
    shared_daemon.write("app.py", APP)
    shared_daemon.site(workers=1, threads=2)
    return shared_daemon.start()


def send(site, data, way):
    """A connection on which `data` was sent, as far as the server would listen."""
    sock = site.connect()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(ConnectionError):
        for piece in way(data):
            sock.sendall(piece)
    return sock


def refusal(site, case, way):
    with send(site, case.data, way) as sock:
        return read_all(sock)


@ways
def test_what_is_malformed_is_refused(site, way):
    before = site.get().json()["seen"]
    wrong = []
    for case in MALFORMED:
        answer = refusal(site, case, way)
        head, _, body = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 %d " % case.status) or b"Connection: close" not in head or not body:
            wrong.append((case.name, case.status, answer))
    assert not wrong
    assert site.get().json()["seen"] == before + 1


@ways
def test_what_is_malformed_and_asks_for_a_head_is_refused_by_one(site, way):
    wrong = []
    for case in MALFORMED:
        if case.data.startswith((b"GET ", b"POST ")):
            asked = case._replace(data=b"HEAD " + case.data.partition(b" ")[2])
            head, _, body = refusal(site, asked, way).partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 %d " % case.status) or b"Content-Length: 0" in head or body:
                wrong.append((case.name, case.status, head, body))
    assert not wrong


@ways
def test_what_is_legitimate_is_served(site, way):
    wrong = []
    for case in LEGITIMATE:
        with Wire(send(site, case.data, way)) as wire:
            reply = wire.answer(case.environ.get("REQUEST_METHOD", "GET"))
            if reply.status == 100:
                reply = wire.answer()
        told = json.loads(reply.body) if reply.status == 200 else {"environ": {}, "body": reply.body}
        seen = {key: told["environ"].get(key) for key in case.environ}
        if seen != case.environ or told["body"] != case.body.decode("latin-1"):
            wrong.append((case.name, reply.status, seen, told["body"]))
    assert not wrong


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x16\x03\x01\0\xca\1\0", b"plain HTTP, not TLS"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"not HTTP/2"),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 5 80\r\n", b"proxy.protocol is off"),
        (b"GET / HTTP/1.1\r\n\r\n", b"no Host"),
        (
            "GET /é HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
            b"raw non-ASCII byte in the target: percent-encode it",
        ),
        ("GET /?q=é HTTP/1.1\r\nHost: a\r\n\r\n".encode("latin-1"), b"raw non-ASCII byte in the target"),
        ("GET http://é/ HTTP/1.0\r\n\r\n".encode(), b"raw non-ASCII byte in the target"),
    ],
)
def test_the_answer_says_what_was_wrong(site, data, words):
    answer = site.raw(data)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert words in answer.partition(b"\r\n\r\n")[2]


def test_what_was_asked_before_is_answered_first(site):
    good = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
    answers = site.raw(good % 1 + good % 2 + b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n" + good % 3)
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert answers.count(b"HTTP/1.1 400 Bad Request\r\n") == 1
    assert b'"/3"' not in answers


def test_a_flood_of_refusals_leaves_the_error_log_alone(site):
    mark = site.mark()
    for _ in range(20):
        site.raw(b"nonsense\r\n\r\n")
    wait_for(lambda: site.log[mark:].count('" 400 ') >= 20, "20 lines in the access log")
    assert "request refused" not in site.log[mark:]


def test_the_reason_is_in_the_log_for_those_who_look_for_it(daemon):
    daemon.write("app.py", APP)
    daemon.site(workers=1, log={"level": "debug"})
    daemon.start().raw(b"GET / HTTP/1.1\r\n\r\n")
    daemon.wait_log(r'debug .*"?request refused"? .*status=400 .*reason="no Host"')
