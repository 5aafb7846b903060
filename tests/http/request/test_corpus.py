"""The corpus, by bytes alone: however it is cut, the same is refused and the same is let in."""

from __future__ import annotations

import pytest

from tests.http.request.corpus import Accepted, Refused
from tests.http.request.feeding import Fed, bytewise, odd_pieces
from tests.http.request.legitimate import LEGITIMATE
from tests.http.request.malformed import MALFORMED
from tests.http.request.streams import BELIEVING, MOUNTED, outcome

pytestmark = pytest.mark.usefixtures("reader")  # by Python, and by C

BEFORE = b"GET /before HTTP/1.1\r\nHost: a\r\n\r\n"
SEEDS = range(8)


def named(case):
    return case.name


def cut(data: bytes):
    """Ways to feed it, each a list of pieces."""
    return [[data], list(bytewise(data)), *(list(odd_pieces(data, seed)) for seed in SEEDS)]


def test_the_names_are_different():
    names = [case.name for case in MALFORMED + LEGITIMATE]
    assert len(set(names)) == len(names)
    assert len(MALFORMED) >= 120
    assert len(LEGITIMATE) >= 40


@pytest.mark.parametrize("case", MALFORMED, ids=named)
def test_what_is_malformed_is_refused(case: Refused):
    for pieces in cut(case.data):
        fed = Fed().feed(*pieces)
        assert fed.error is not None, pieces[:20]
        assert fed.error.status == case.status, (fed.error, pieces[:20])
        assert not fed.requests


@pytest.mark.parametrize("case", MALFORMED, ids=named)
def test_whatever_proxies_may_say_and_wherever_the_site_is(case: Refused):
    """With fields of proxies by name, and what they take from paths, no other status; below a root at least
    none that lets it in."""
    assert outcome([case.data], BELIEVING).error == case.status
    below = outcome([case.data], MOUNTED)
    assert (below.error, below.requests) in ((case.status, []), (404, []), (400, []))


@pytest.mark.parametrize("case", MALFORMED, ids=named)
def test_what_came_before_is_answered(case: Refused):
    for pieces in cut(BEFORE + case.data):
        fed = Fed().feed(*pieces)
        assert [request.target for request in fed.requests] == [b"/before"]
        assert fed.error is not None
        assert fed.error.status == case.status


@pytest.mark.parametrize("case", LEGITIMATE, ids=named)
def test_what_is_legitimate_is_let_in(case: Accepted):
    for pieces in cut(case.data):
        fed = Fed().feed(*pieces)
        assert fed.error is None, pieces[:20]
        assert len(fed.requests) == 1
        environ = fed.requests[0].environ
        wanted = {key: value for key, value in case.environ.items() if key != "wsgi.url_scheme"}
        assert {key: environ.get(key) for key in wanted} == wanted
        assert fed.requests[0].input().read() == case.body
        assert not {"", "HTTP_PROXY", "HTTP_TRANSFER_ENCODING", "HTTP_EXPECT"} & set(environ)


@pytest.mark.parametrize("case", LEGITIMATE, ids=named)
def test_the_next_request_is_found(case: Accepted):
    for pieces in cut(case.data + BEFORE):
        fed = Fed().feed(*pieces)
        assert fed.error is None
        targets = [request.target for request in fed.requests]
        assert targets[1:] == ([b"/before"] if fed.requests[0].keep_alive else [])


def test_reasons_quote_nothing():
    for case in MALFORMED:
        error = Fed().feed(case.data).error
        assert error is not None
        assert error.reason.isascii()
        assert error.reason.isprintable()
        assert len(error.reason) < 100
