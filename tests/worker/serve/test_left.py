"""Clients that leave while the application waits for something to tell them: their threads serve others, and
come back when the application goes on. Clients that only say no more are told all."""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
import time

import pytest

from superwsgi.config.sections import TlsSettings
from tests.worker.running import eventually, running

EVENT = b"data: one\n\n"

TOLD = 1.5
"""Seconds; after a second one is given up."""


class Streams:
    """An application: /first and /stream wait for events, without and after one; /page waits as well, and
    answers then. `closed` has the paths whose iterables were closed."""

    def __init__(self):
        self.events = queue.Queue()
        self.waiting = threading.Semaphore(0)
        self.closed = []

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/":
            start_response("200 OK", [("Content-Length", "5")])
            return [b"hello"]
        if path == "/page":
            self._next()
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return [b"page"] if path == "/page" else self._stream(path)

    def _stream(self, path):
        try:
            if path != "/first":
                yield EVENT
            while event := self._next(path == "/computes"):
                yield event
        finally:
            self.closed.append(path)

    def _next(self, computing=False):
        self.waiting.release()
        end = time.monotonic() + 2.5
        while computing and self.events.empty() and time.monotonic() < end:
            pass
        return self.events.get(timeout=60)

    def tell(self, event, count=1):
        for _ in range(count):
            self.events.put(event)


@contextlib.contextmanager
def serving(**more):
    """A worker of that application, which comes back at the end."""
    streams = Streams()
    with running(streams, **more) as worker:
        try:
            yield worker, streams
        finally:
            streams.tell(b"", 100)


def close(sock):
    sock.close()


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def ask(worker, streams, path="/stream", context=None):
    """A client that has asked, and for whom the application waits."""
    client = worker.connect(context).get(path)
    assert streams.waiting.acquire(timeout=60)
    if path == "/stream":
        client.until(EVENT + b"\r\n")
    return client


def ask_as_proxies_do(worker, streams):
    """nginx speaks HTTP/1.0 to what is behind it unless told otherwise."""
    client = worker.connect().get("/stream", version="1.0")
    assert streams.waiting.acquire(timeout=60)
    client.until(EVENT)
    return client


def given_up(worker, count):
    return eventually(lambda: worker.counters.left == count)


def log(worker):
    return worker.access_file.read_text()


@pytest.mark.parametrize(
    ("path", "leave", "unix"),
    [
        ("/first", close, False),
        ("/stream", close, False),
        ("/stream", reset, False),
        ("/stream", close, True),
    ],
)
def test_others_are_served(path, leave, unix):
    with serving(threads=1, unix=unix) as (worker, streams):
        leave(ask(worker, streams, path).sock)
        assert worker.fetch()[2] == b"hello"
        assert given_up(worker, 1)
        eventually(lambda: f'"GET {path} HTTP/1.1" 499 ' in log(worker))
        eventually(lambda: "thread given up" in worker.errors)
        assert worker.counters.abandoned == worker.counters.busy == 0
        streams.tell(EVENT)
        eventually(lambda: streams.closed == [path])
        given_up(worker, 0)
        assert worker.recycled == []
        assert "Traceback" not in worker.errors


@pytest.mark.parametrize("path", ["/first", "/stream"])
def test_over_tls_too(path, pair, ca):
    settings = TlsSettings(certificate=str(pair.certificate), key=str(pair.key))
    with serving(threads=1, tls=settings) as (worker, streams):
        client = ask(worker, streams, path, ca.client())
        client.sock.setblocking(False)
        with contextlib.suppress(OSError):
            client.sock.unwrap()
        client.sock.close()
        given_up(worker, 1)
        streams.tell(EVENT)
        eventually(lambda: streams.closed == [path])


@pytest.mark.parametrize(("path", "unix"), [("/first", False), ("/stream", False), ("/stream", True)])
def test_who_only_says_no_more_is_told_all(path, unix):
    with serving(threads=1, unix=unix) as (worker, streams), ask(worker, streams, path) as client:
        client.sock.shutdown(socket.SHUT_WR)
        threading.Event().wait(TOLD)  # longer than it takes to give up one that has left
        assert worker.counters.left == 0
        streams.tell(EVENT)
        streams.tell(b"")
        if path == "/first":
            client.until(b"\r\n\r\n")
        assert client.chunks().endswith(EVENT)
        assert streams.closed == [path]
        eventually(lambda: f'"GET {path} HTTP/1.1" 200 ' in log(worker))


def test_who_speaks_http_1_0():
    with serving(threads=1) as (worker, streams):
        ask_as_proxies_do(worker, streams).sock.close()
        given_up(worker, 1)
        with ask_as_proxies_do(worker, streams) as client:
            client.sock.shutdown(socket.SHUT_WR)
            client.until(b":\n")
            streams.tell(EVENT, 2)
            streams.tell(b"", 2)
            assert client.rest().startswith(EVENT)


def test_a_client_that_leaves_before_the_stream_begins():
    with serving(threads=1) as (worker, _):
        with worker.connect() as client:
            client.get("/first")
        given_up(worker, 1)


def test_a_plain_page_does_its_work():
    with serving(threads=1) as (worker, streams):
        ask(worker, streams, "/page").sock.close()
        threading.Event().wait(TOLD)
        assert worker.counters.left == 0
        assert worker.counters.busy == 1
        streams.tell(EVENT)
        assert worker.fetch()[2] == b"hello"


@pytest.mark.drill
def test_a_stream_that_computes_does_its_work():
    with serving(threads=1) as (worker, streams):
        ask(worker, streams, "/computes").sock.close()
        threading.Event().wait(1.5)
        assert worker.counters.left == 0
        streams.tell(EVENT)
        eventually(lambda: streams.closed == ["/computes"])


@pytest.mark.drill
def test_as_many_are_given_up_as_there_are_threads():
    with serving(threads=2) as (worker, streams):
        clients = [ask(worker, streams) for _ in range(2)]
        for client in clients:
            client.sock.close()
        given_up(worker, 2)
        ask(worker, streams).sock.close()
        eventually(lambda: worker.recycled)
        (recycle,) = worker.recycled
        assert recycle.reason == "2 threads wait for events of streams whose clients have left"
        assert worker.counters.left == 2
        assert worker.fetch()[2] == b"hello"


@pytest.mark.drill
def test_one_that_does_not_come_back_for_long_is_stuck():
    with serving(threads=1, request=2) as (worker, streams):
        ask(worker, streams).sock.close()
        given_up(worker, 1)
        (recycle,) = eventually(lambda: worker.recycled)
        assert recycle.reason.startswith("a stuck thread does not come back: GET /stream ")
