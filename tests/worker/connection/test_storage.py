"""Responses that fill temporary files leave threads for others; large bodies share memory."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack

import pytest

from superwsgi.http.request.large import BLOCK
from superwsgi.worker.connection.alarm import NEVER, Alarm
from superwsgi.worker.connection.storage import BODIES, Blocks, Bulk
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


class TestMemoryForBodies:
    """Blocks: `most` bytes at a time, given back to the system once they are not needed."""

    @pytest.fixture
    def blocks(self):
        alarm = Alarm()
        yield Blocks(alarm, 4 * BLOCK)
        os.close(alarm.fd)

    def test_no_more_than_there_may_be(self, blocks):
        lent = [blocks.lend() for _ in range(5)]
        assert [block is None for block in lent] == [False] * 4 + [True]
        blocks.take_back(lent[:1])
        assert blocks.lend() is lent[0]
        assert blocks.lend() is None

    def test_what_is_needed_again_stays_and_the_rest_goes(self, blocks):
        lent = [blocks.lend() for _ in range(4)]
        blocks.take_back(lent)
        due = blocks.look(0)
        assert 0 < due < NEVER
        due = blocks.look(due)
        again = blocks.lend()
        assert again in lent
        blocks.take_back([again])
        due = blocks.look(due)
        assert due < NEVER
        assert blocks.lend() in lent, "the one that had been needed"
        assert blocks.lend() not in lent
        assert None not in (blocks.lend(), blocks.lend())
        assert blocks.lend() is None

    def test_unused_all_of_it_goes_and_nobody_looks_any_more(self, blocks):
        assert blocks.look(0) == NEVER
        blocks.take_back([blocks.lend()])
        due = blocks.look(0)
        due = blocks.look(due)
        assert blocks.look(due) == NEVER
        assert None not in [blocks.lend() for _ in range(4)]

    def test_a_look_is_asked_for(self, blocks):
        block = blocks.lend()
        assert block is not None
        assert blocks._alarm.due == blocks.look(0) < NEVER


def test_uploads_share_memory_which_a_worker_gives_back():
    """Twice as much as there is, at the same time: the rest is in files."""
    size, count = 16 << 20, 2 * BODIES // (16 << 20)
    body = os.urandom(size)

    def app(environ, start_response):
        start_response("200 OK", [])
        return [b"right" if environ["wsgi.input"].read() == body else b"wrong"]

    with running(app) as worker, ExitStack() as stack:
        clients = [stack.enter_context(worker.connect()) for _ in range(count)]
        for client in clients:
            client.get("/", f"Content-Length: {size}", method="POST").send(body[:-1])
        for client in clients:
            client.send(body[-1:])
        assert [client.response()[2] for client in clients] == [b"right"] * count
