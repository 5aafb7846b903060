"""Responses that fill temporary files leave threads for others."""

from __future__ import annotations

import threading

import pytest

from superwsgi.worker.connection.storage import Bulk
from tests.worker.running import eventually, running

SIZE = 8 << 20


class App:
    """`/big…` answers SIZE bytes in pieces, and then waits until `gate` is open; everything else is short.
    It takes its path from the environ, as dispatchers do."""

    def __init__(self):
        self.gate = threading.Event()
        self.asked = []

    def __call__(self, environ, start_response):
        path = environ.pop("PATH_INFO")
        self.asked.append(path)
        start_response("200 OK", [])
        return self.pieces() if path.startswith("/big") else [b"short"]

    def pieces(self):
        for _ in range(SIZE >> 18):
            yield bytes(1 << 18)
        assert self.gate.wait(20)


@pytest.mark.parametrize("paths", [("/big", "/big"), ("/big/1.pdf", "/big/27.pdf")])
def test_one_that_is_expected_waits_and_others_go_on(paths):
    first, second = paths
    app = App()
    with (
        running(app, threads=2) as worker,
        worker.connect() as a,
        worker.connect() as b,
        worker.connect() as c,
    ):
        app.gate.set()
        a.get(first)
        eventually(lambda: worker.counters.sending == 1)
        app.gate.clear()
        b.get(first)
        eventually(lambda: app.asked == [first] * 2)
        c.get(second)
        eventually(lambda: worker.counters.queued == 1)
        for _ in range(10):
            assert worker.fetch("/short")[0] == 200
        assert app.asked == [first] * 2 + ["/short"] * 10
        app.gate.set()
        eventually(lambda: app.asked[-1] == second)
        assert [len(client.response()[2]) for client in (a, b, c)] == [SIZE] * 3


def test_a_kind_is_known_for_what_it_did_last():
    bulk = Bulk(4)
    bulk.begin("a")
    assert not bulk.crowded
    bulk.begin("b")
    assert bulk.crowded
    bulk.end("a", "GET /report/*", True, now=0)
    bulk.end("a", "GET /report/*", True, now=0)
    assert not bulk.crowded
    assert bulk.expects("GET /report/*", now=1)
    assert not bulk.expects("GET /report", now=1)
    assert not bulk.expects("GET /report/*", now=60 * 10**9)
    bulk.end("b", "GET /report/*", False, now=2)
    assert not bulk.expects("GET /report/*", now=3)


def test_what_is_known_is_bounded():
    bulk = Bulk(1)
    for number in range(1000):
        bulk.end(number, "/" + "x" * number, True, now=0)
    assert len(bulk.known) <= 256
    assert bulk.expects("/" + "x" * 999, now=1)
