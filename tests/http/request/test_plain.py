"""A plain head is not shown to llhttp: so it must be one that llhttp accepts, whatever its characters are."""

from __future__ import annotations

import pytest

from tests.http.request.feeding import Fed
from tests.http.request.legitimate import LEGITIMATE
from tests.http.request.malformed import MALFORMED
from tests.http.request.plain import is_plain, pass_llhttp

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


def test_a_field_that_is_new_is_not():
    head = b"GET / HTTP/1.1\r\nHost: x\r\nNever-Seen-Before: 1\r\n\r\n"
    assert [request.plain for request in Fed().feed(head, head).requests] == [False, True]
