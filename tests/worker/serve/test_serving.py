"""A worker's loop over real sockets: what clients get."""

from __future__ import annotations

import contextlib
import os
import threading

import pytest

from superwsgi.config.sections import Limits, Requests
from superwsgi.messages import Recycle
from superwsgi.worker.serve.loop import BATCH
from tests.fixtureapps.wsgi_paths import app, gate, inside
from tests.worker.running import DEADLINE, eventually, running


def test_many_requests_on_one_connection():
    with running(app) as worker, worker.connect() as client:
        for _ in range(20):
            status, head, body = client.get().response()
            assert (status, body) == (200, b"hello")
            assert "Connection" not in head
        eventually(lambda: worker.counters.requests == 20)
        assert worker.counters.connections == worker.counters.counts.accepted == 1


def test_more_events_than_are_taken_at_once_beside_the_alarm():
    """A thread with the baton finds them all when it comes back from the application."""
    others = []

    def busy(environ, start_response):
        if environ["PATH_INFO"] == "/first":
            worker.loop.drain(lame_duck=0)  # rings the alarm
            for client in others:
                client.get()
        return app(environ, start_response)

    with (
        running(busy, linger=DEADLINE) as worker,
        contextlib.ExitStack() as clients,
    ):
        others += [clients.enter_context(worker.connect()) for _ in range(BATCH)]
        assert all(client.get().response()[0] == 200 for client in others)
        assert worker.fetch("/first")[0] == 200
        assert all(client.response()[0] == 200 for client in others)
        assert worker.errors == ""


def test_a_unix_socket():
    with running(app, unix=True) as worker:
        for _ in range(3):
            assert worker.fetch()[0] == 200


def test_pipelined_requests_are_answered_in_order():
    requests = b"".join(
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n%02d" % n for n in range(60)
    )
    with running(app) as worker, worker.connect() as client:
        client.send(requests)
        assert [client.response()[2] for _ in range(60)] == [b"%02d" % n for n in range(60)]


@pytest.mark.parametrize("size", [0, 10, 200_000, 5_000_000])
def test_bodies_come_back(size):
    body = os.urandom(size)
    with running(app, limits=Limits(body_memory=100_000)) as worker, worker.connect() as client:
        for _ in range(2):
            client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + body)
            assert client.response()[2] == body


def test_a_body_in_chunks_of_one_byte_comes_back():
    """More of them than are read in one go, and another request behind."""
    body = os.urandom(20_000)
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    request = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    with running(app) as worker, worker.connect() as client:
        client.send(request * 2)
        assert client.response()[2] == body
        assert client.response()[2] == body


@pytest.mark.parametrize("framing", ["Content-Length: 90000000", "Transfer-Encoding: chunked"])
def test_who_sends_without_end_keeps_nobody_waiting(framing):
    """The others come first as often as they ask, while there is always something to read."""
    piece = b"1\r\nx\r\n" * 10_000
    sent = []
    enough = threading.Event()

    def send(client):
        client.get("/echo", framing, method="POST")
        while not enough.is_set():
            client.send(piece)
            sent.append(len(piece))

    with running(app, threads=1) as worker, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(worker.connect()) for _ in range(4)]
        senders = [threading.Thread(target=send, args=(client,)) for client in clients]
        for sender in senders:
            sender.start()
        for _ in range(20):
            before = len(sent)
            assert worker.fetch()[0] == 200
            eventually(lambda: len(sent) > before)  # noqa: B023
        enough.set()
        for sender in senders:
            sender.join()


def test_continue_is_said_before_the_body_is_sent():
    with running(app) as worker, worker.connect() as client:
        client.get("/echo", "Content-Length: 5", "Expect: 100-continue", method="POST")
        assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
        assert client.send(b"hello").response()[2] == b"hello"


def test_old_clients():
    with running(app) as worker:
        with worker.connect() as client:
            assert client.get(version="1.0").rest().endswith(b"\r\n\r\nhello")
        with worker.connect() as client:
            for _ in range(2):
                status, head, _ = client.get("/", "Connection: keep-alive", version="1.0").response()
                assert status == 200
                assert "Connection: keep-alive" in head


def test_a_client_that_closes_its_side_is_still_answered():
    with running(app) as worker, worker.connect() as client:
        client.get()
        client.sock.shutdown(1)
        assert client.rest().endswith(b"hello")
        eventually(lambda: worker.counters.connections == 0)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n" + b"x" * 500_000, 413),
    ],
)
def test_refusals_reach_a_client_that_is_still_sending(data, status):
    with running(app) as worker:
        with worker.connect() as client:
            refused, head, _ = client.send(data).response()
            assert refused == status
            assert "Connection: close" in head
        eventually(lambda: sum(worker.counters.counts.refused) == 1)
        eventually(lambda: f" {status} " in worker.access_file.read_text())


def test_a_refusal_reaches_a_client_that_has_closed_its_side():
    with running(app) as worker, worker.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n" + b"x" * 300_000)
        client.sock.shutdown(1)
        assert client.rest().startswith(b"HTTP/1.1 413 ")


def test_bytes_behind_a_queued_request_are_not_forgotten():
    with running(app, threads=1) as worker, worker.connect() as holder, worker.connect() as queued:
        holder.get("/wait")
        assert inside.acquire(timeout=60)
        queued.get("/first")
        eventually(lambda: worker.counters.queued == 1)
        queued.get("/second")
        gate.set()
        assert [client.response()[0] for client in (holder, queued, queued)] == [200] * 3


def fails_for_requests(self, event, error, **words):
    if event == "request failed":
        raise RuntimeError(event)
    self.error(event, str(error), **words)


def test_an_error_of_the_server_itself_costs_one_connection(monkeypatch):
    with running(app, threads=1) as worker:
        with monkeypatch.context() as broken, worker.connect() as client:
            broken.setattr("superwsgi.log.error.ErrorLog.exception", fails_for_requests)
            assert client.get("/exit").rest() == b""
        for _ in range(3):
            assert worker.fetch()[0] == 200
        assert "error in the server" in worker.errors


def test_a_view_that_exits_is_an_error_and_nothing_else():
    with running(app) as worker:
        assert worker.fetch("/exit")[0] == 500
        assert worker.fetch()[0] == 200
        assert "SystemExit" in worker.errors


def test_a_response_that_breaks_off_ends_the_connection():
    with running(app) as worker, worker.connect() as client:
        assert client.get("/half").rest().endswith(b"\r\n\r\nhalf")


@pytest.mark.parametrize("path", ["/big", "/pieces"])
def test_a_large_response(path):
    with running(app, threads=1) as worker:
        slow = worker.connect()
        slow.get(path)
        slow.until(b"\r\n\r\n")
        eventually(lambda: worker.counters.busy == 0)
        assert worker.fetch()[0] == 200
        assert len(slow.rest_of(50 << 20)) == 50 << 20
        slow.sock.close()


def test_pieces_are_sent_as_they_come():
    with running(app) as worker, worker.connect() as client:
        client.get("/piece")
        assert client.until(b"first")
        gate.set()
        assert client.until(b"0\r\n\r\n").endswith(b"second\r\n")


def test_requests_wait_for_a_thread_in_order():
    with running(app, threads=1) as worker:
        clients = [worker.connect().get("/wait") for _ in range(5)]
        eventually(lambda: worker.counters.queued == 4)
        gate.set()
        assert [client.response()[0] for client in clients] == [200] * 5
        for client in clients:
            client.sock.close()


def test_no_more_connections_than_allowed():
    with running(app, limits=Limits(connections=2)) as worker:
        first, second = worker.connect(), worker.connect()
        assert first.get().response()[0] == second.get().response()[0] == 200
        third = worker.connect().get()
        assert first.get().response()[0] == 200
        assert worker.counters.connections == 2
        first.sock.close()
        assert third.response()[0] == 200
        second.sock.close()
        third.sock.close()


@pytest.mark.parametrize("format", ["combined", "json", "{remote} {host} {referer} {agent} {target}"])
def test_whatever_an_application_makes_of_the_environ_it_is_logged(format):
    class Silent:
        def __str__(self):
            raise ValueError

        __repr__ = __format__ = __str__

    def spoils(environ, start_response):
        for key in (
            "REMOTE_ADDR",
            "HTTP_HOST",
            "HTTP_REFERER",
            "HTTP_USER_AGENT",
            "PATH_INFO",
            "REQUEST_METHOD",
        ):
            environ[key] = Silent()
        return app({"PATH_INFO": "/"}, start_response)

    with running(spoils, format=format) as worker:
        for number in range(3):
            assert worker.fetch(f"/{number}")[0] == 200
            eventually(lambda number=number: f"/{number}" in worker.access_file.read_text())
        assert "127.0.0.1" in worker.access_file.read_text()
        assert not worker.errors


def test_another_process_may_always_run_the_application():
    """Of one worker as well: during a reload, or after TTIN."""

    def tells(environ, start_response):
        start_response("200 OK", [])
        return [repr(environ["wsgi.multiprocess"]).encode()]

    with running(tells) as worker:
        assert worker.fetch()[2] == b"True"


def test_recycling_is_asked_for_once():
    with running(app, requests=Requests(max=3)) as worker:
        for _ in range(6):
            assert worker.fetch()[0] == 200
        assert worker.recycled == [Recycle("requests")]


def test_the_access_log_has_a_line_for_each_request():
    with running(app) as worker:
        worker.fetch("/a?b=c", "User-Agent: tester")
        line = eventually(worker.access_file.read_text)
        assert '"GET /a?b=c HTTP/1.1" 200 5' in line
        assert '"tester"' in line
