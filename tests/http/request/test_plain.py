"""A plain head is not shown to llhttp: so it must be one that llhttp accepts, whatever its characters are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superwsgi.config.sections import Limits
from superwsgi.http.fields import FROM_OTHERS
from superwsgi.http.host import HOSTS
from tests import core
from tests.http.request.feeding import Fed
from tests.http.request.legitimate import LEGITIMATE
from tests.http.request.malformed import MALFORMED
from tests.http.request.plain import is_plain, pass_llhttp
from tests.http.request.streams import SMALL, fuzzing, messages, streams

pytestmark = pytest.mark.usefixtures("reader")  # by Python, and by C

PLACES = (
    b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /a%bb?c HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /?%b HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /?a%bb HTTP/1.0\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: %b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: a%bb\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: a%b\r\nB: c\r\n\r\n",
    b"GET / HTTP/1.1\r\nA:%b a\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n%b: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\na%bb: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: %b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nProxy-Connection: %b\r\n\r\n",
)

BROWSER = (
    b"GET /articles/42?page=2 HTTP/1.1\r\n"
    b"Host: www.example.com\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    b"Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n"
    b"Accept-Encoding: gzip, deflate, br\r\n"
    b"Connection: keep-alive\r\n"
    b"Cookie: session=abc; name=\xc3\xa9\r\n\r\n"
)


@pytest.mark.parametrize("place", PLACES)
def test_llhttp_accepts_all_characters_that_are_plain(place):
    heads = [place % bytes([byte]) for byte in range(256)]
    for head in filter(is_plain, heads):
        pass_llhttp(head)


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"])
def test_llhttp_accepts_all_methods_that_are_plain(method):
    head = method + b" / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert is_plain(head)
    pass_llhttp(head)


def test_llhttp_accepts_whatever_is_plain_in_the_corpus():
    heads = [case.data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" for case in LEGITIMATE + MALFORMED]
    for head in filter(is_plain, heads):
        pass_llhttp(head)


def test_the_usual_request_is_plain():
    assert is_plain(BROWSER)
    assert is_plain(b"GET / HTTP/1.0\r\n\r\n")
    assert is_plain(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize(
    "head",
    [
        b"PROPFIND / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA:b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\tc\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\na: c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, upgrade\r\n\r\n",
    ],
)
def test_what_could_be_understood_in_two_ways_is_not(head):
    assert not is_plain(head)


def test_a_field_that_is_new_is_not(reader):
    head = b"GET / HTTP/1.1\r\nHost: x\r\nNever-Seen-By-%b: 1\r\n\r\n" % reader.encode()
    assert [request.plain for request in Fed().feed(head, head).requests] == [False, True]


@pytest.mark.parametrize("reader", ["c"], indirect=True, scope="module")
class TestTakenByC:
    """What C takes is what Python finds plain, and it makes the same of it."""

    @pytest.mark.parametrize("place", PLACES)
    def test_whatever_character_there_is(self, place):
        for byte in range(256):
            compare(place % bytes([byte]))

    def test_the_corpus(self):
        for case in LEGITIMATE + MALFORMED:
            compare(case.data)
            compare(case.data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")

    @fuzzing
    @given(messages | streams, st.sampled_from([{}, SMALL]))
    def test_messages(self, message, small):
        compare(message, **small)

    @pytest.mark.parametrize(
        "target", [b"/%41%", b"/%4", b"/%zz%2f?%41", b"/a%E4?", b"/?", b"/a?b?c%", b"/" + b"%41" * 300]
    )
    def test_escapes(self, target):
        assert compare(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")

    @pytest.mark.parametrize("value", [b" ", b"   ", b"a  ", b" a", b"a: b", b"\xe4", b"\xe4" * 300])
    def test_values(self, value):
        assert compare(b"GET / HTTP/1.1\r\nHost: x\r\nA: " + value + b"\r\n\r\n")

    def test_one_of_many(self):
        head = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        assert read(head + head)[0] == len(head)
        assert read(b"..." + head, 3)[0] == 3 + len(head)
        assert all(read(head[:size]) is None for size in range(len(head)))

    def test_the_usual_request_is_taken(self):
        compare(BROWSER)
        assert compare(BROWSER)

    def test_limits(self):
        head = b"GET /%b HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n" % (b"a" * 20)
        line = len(head.partition(b"\r\n")[0])
        for limits in (
            {"line": line},
            {"line": line - 1},
            {"head": len(head)},
            {"head": len(head) - 1},
            {"fields": 2},
            {"fields": 1},
        ):
            compare(head, **limits)

    def test_it_says_what_it_is_given_wrongly(self):
        with pytest.raises(TypeError):
            core.in_c().read_plain(bytearray(b"GET"), 0, {}, {}, set(), 1, 1, 1)
        with pytest.raises(TypeError):
            core.in_c().read_plain(b"GET", 0)


def read(data, at=0, **limits):
    """What C makes of it."""
    most = Limits(**limits)
    environ = {"wsgi.input": None, "wsgi.url_scheme": "http"}
    known = FROM_OTHERS.known
    return core.in_c().read_plain(data, at, environ, known, HOSTS, most.head, most.line, most.fields)


def compare(data, **limits):
    """Whether C takes the head that these bytes begin with."""
    taken = None
    for _ in range(2):  # whatever names and hosts there are, they are known then
        fed = Fed(**limits)
        fed.parser._read_plain = None
        fed.feed(data)
        if len(FROM_OTHERS.known) < 1000 and len(HOSTS) < 1000:
            taken = read(data, **limits)
    first = fed.requests[0] if fed.requests else None
    if taken is None:
        assert first is None or not first.plain or is_left_to_python(data, first.environ)
        return False
    assert first is not None
    end, environ, method, target, version, goes_on = taken
    environ["HTTP_X_REQUEST_ID"] = first.id
    assert (method, target, version, goes_on) == (first.method, first.target, first.version, first.keep_alive)
    assert environ == first.environ
    assert list(map(type, environ.values())) == list(map(type, first.environ.values()))
    assert end == data.index(b"\r\n\r\n") + 4
    assert first.plain
    return True


def is_left_to_python(data, environ):
    """It may be plain nevertheless: it begins with empty lines, has an Expect, or a host that is too long to
    be remembered."""
    long = len(environ.get("HTTP_HOST", "")) > 64
    return long or data.startswith(b"\r\n") or b"expect:" in data.lower()
