"""Request ids: whose are taken, and that those made here are unique."""

from __future__ import annotations

import pytest

from superwsgi.config.sections import Limits
from superwsgi.http.client.peers import Trusted
from superwsgi.http.request.parser import REQUEST_ID, Parser, RequestIds
from tests.http.request.feeding import parse

TRUSTED = Trusted(["127.0.0.1/32"])

GOOD = [
    "7f6a1c1e-9b0e-4c43-9a1c-0f2f5d0f7a11",
    "7F000001:8296_7F00001E:1F90_4F7B0A69_0003:790E",
    "q83vEjRWeJA=",
    "a+/b=~c@d.e",
    "x",
    "x" * 128,
]
BAD = ["", "x" * 129, "a b", "a,b", 'a"b', "a\\b", "a;b", "<b>", "a'b", "${x}", "a\tb", "\xe9", "a%0ab"]


def identified(value, trusted, repeated=1):
    field = f"X-Request-ID: {value}\r\n" * repeated
    (request,) = parse(
        f"GET / HTTP/1.1\r\nHost: x\r\n{field}\r\n".encode("latin-1"), trusted=trusted
    ).requests
    assert request.environ["HTTP_X_REQUEST_ID"] == request.id
    return request.id


@pytest.mark.parametrize("value", GOOD)
def test_a_trusted_peers_id_is_taken(value):
    assert identified(value, TRUSTED) == value


@pytest.mark.parametrize(("value", "trusted"), [(v, TRUSTED) for v in BAD] + [(v, None) for v in GOOD + BAD])
def test_any_other_is_replaced(value, trusted):
    made = identified(value, trusted)
    assert made != value
    assert REQUEST_ID.fullmatch(made)


def test_two_at_once_are_none():
    assert identified("one", TRUSTED, repeated=2) not in ("one", "one,one")


def test_a_request_without_one_gets_one():
    parser = parse(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3, trusted=TRUSTED)
    assert len({request.id for request in parser.requests}) == 3


def test_no_two_makers_make_the_same():
    makers = [RequestIds() for _ in range(50)]
    made = [maker.make() for maker in makers for _ in range(50)]
    assert len(set(made)) == len(made)
    assert all(REQUEST_ID.fullmatch(identity) for identity in made)


def test_what_is_refused_has_the_id_of_its_head_once_that_is_complete():
    assert parse(b"POST / HTTP/1.1\r\nHost: x\r\n").parser.next is None
    head = b"POST / HTTP/1.1\r\nHost: x\r\nX-Request-ID: one\r\nContent-Length: 9\r\n\r\n"
    unfinished = parse(head + b"12345678", trusted=TRUSTED)
    assert unfinished.parser.next.id == "one"
    too_large = parse(head, trusted=TRUSTED, body=8)
    assert too_large.error.status == 413
    assert too_large.parser.next.id == "one"
    answered = Parser(Limits(), {}, RequestIds(), TRUSTED)
    answered.feed(head + b"123456789")
    assert answered.next is answered.pop()
    assert answered.next is None
