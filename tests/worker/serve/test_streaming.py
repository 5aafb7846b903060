"""Responses that a client takes slowly, or not at all."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

import pytest

from superwsgi.config.sections import Limits
from tests.fixtureapps.wsgi_paths import app, gate, inside
from tests.worker.running import eventually, running


def reset(client):
    """Leave as a process does that is killed with bytes unread."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()


class TestAClientThatLeaves:
    @pytest.mark.parametrize("path", ["/endless", "/ticks", "/polls"])
    def test_ends_the_response(self, path):
        with running(app, threads=1) as worker:
            client = worker.connect().get(path)
            client.until(b"\r\n\r\n")
            reset(client)
            assert inside.acquire(timeout=60)
            eventually(lambda: "client closed" in worker.errors)
            assert "Traceback" not in worker.errors
            assert eventually(lambda: f'"GET {path} HTTP/1.1" 499 ' in worker.access_file.read_text())
            assert worker.fetch()[0] == 200

    def test_politely_ends_it_too(self):
        with running(app, threads=1) as worker:
            client = worker.connect().get("/ticks")
            client.until(b"tick")
            client.sock.close()
            assert inside.acquire(timeout=60)
            assert worker.fetch()[0] == 200

    def test_is_found_out_while_the_response_is_sent_on(self):
        with running(app, threads=1) as worker:
            client = worker.connect().get("/big")
            client.until(b"\r\n\r\n")
            eventually(lambda: worker.counters.busy == 0)
            assert '"GET /big' not in worker.access_file.read_text()
            reset(client)
            eventually(lambda: '"GET /big HTTP/1.1" 499 ' in worker.access_file.read_text())
            assert "client closed" in worker.errors

    def test_and_its_request_that_waits_for_a_thread(self):
        with running(app, threads=1) as worker, worker.connect() as holder:
            holder.get("/wait")
            assert inside.acquire(timeout=60)
            client = worker.connect().get("/wait?queued")
            eventually(lambda: worker.counters.queued == 1)
            reset(client)
            with worker.connect() as other:
                assert other.send(b"nonsense\r\n\r\n").response()[0] == 400  # so the poller has been there
            gate.set()
            assert holder.response()[0] == 200
            eventually(lambda: '"GET /wait?queued HTTP/1.1" 499 -' in worker.access_file.read_text())
            assert not inside.acquire(blocking=False)


class TestAnApplicationThatIsFarAhead:
    def test_waits_for_its_client(self):
        with running(app, threads=1, limits=Limits(spool=4 << 20)) as worker, worker.connect() as client:
            client.get("/pieces")
            head = client.until(b"\r\n\r\n")
            assert b"200 OK" in head
            assert worker.counters.busy == 1
            assert client.rest_of(50 << 20) == b"x" * (50 << 20)
            eventually(lambda: worker.counters.busy == 0)
            assert worker.fetch()[0] == 200

    def test_whose_client_takes_nothing_is_told_so(self):
        limits = Limits(spool=4 << 20)
        with running(app, threads=1, send=0.3, limits=limits) as worker, worker.connect() as client:
            client.get("/endless").until(b"\r\n\r\n")
            assert inside.acquire(timeout=60)
            assert worker.fetch()[0] == 200
            eventually(lambda: "client too slow" in worker.errors)
            assert "Traceback" not in worker.errors

    def test_in_one_piece_waits_too(self):
        """50 MB that fit neither the memory that all share nor the files."""
        with running(app, threads=1, limits=Limits(spool=0)) as worker:
            clients = [worker.connect().get("/big") for _ in range(3)]
            for client in clients:
                client.until(b"\r\n\r\n") if client is clients[0] else None
            eventually(lambda: worker.counters.busy == 1)
            for client in clients:
                body = client.rest_of(50 << 20) if client is clients[0] else client.response()[2]
                assert len(body) == 50 << 20
                client.sock.close()
            assert worker.fetch()[0] == 200


def test_a_client_that_takes_too_little_is_cut_off():
    """A byte now and then does not keep a response for ever."""
    with running(app, threads=1, send=0.4) as worker, worker.connect() as client:
        client.get("/big").until(b"\r\n\r\n")
        while worker.counters.connections:
            try:
                client.sock.recv(1)
            except ConnectionResetError:
                break
            gate.wait(0.01)
        eventually(lambda: "client too slow" in worker.errors)
        eventually(lambda: '"GET /big HTTP/1.1" 499 ' in worker.access_file.read_text())


def test_a_client_that_talks_instead_of_listening_is_cut_off():
    with running(app, threads=1, send=0.4) as worker, worker.connect() as client:
        client.get("/big").until(b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while worker.counters.connections:
                client.send(b"x")
                gate.wait(0.01)
        eventually(lambda: "client too slow" in worker.errors)


def test_the_log_has_what_was_sent_when_it_was_sent():
    with running(app, threads=1) as worker, worker.connect() as client:
        client.get("/big").until(b"\r\n\r\n")
        eventually(lambda: worker.counters.busy == 0)
        assert '"GET /big' not in worker.access_file.read_text()
        client.rest_of(50 << 20)
        eventually(lambda: f'"GET /big HTTP/1.1" 200 {50 << 20}' in worker.access_file.read_text())
        assert client.get().response()[0] == 200


def test_requests_that_come_while_a_response_is_taken():
    with running(app, threads=1) as worker, worker.connect() as client:
        client.get("/big").until(b"\r\n\r\n")
        eventually(lambda: worker.counters.busy == 0)
        client.get("/second")
        client.get("/third")
        client.rest_of(50 << 20)
        assert client.response()[0] == client.response()[0] == 200


def test_a_response_that_is_whole_survives_a_close_that_does_not_end():
    with running(app, threads=1, request=0.3) as worker, worker.connect() as client:
        status, _, body = client.get("/closing").response()
        assert (status, body) == (200, b"all of it")
        assert client.rest() == b""
        eventually(lambda: "request stuck" in worker.errors)
        eventually(lambda: '"GET /closing HTTP/1.1" 200 9' in worker.access_file.read_text())
        assert worker.counters.counts.failures == 0
        assert worker.fetch()[0] == 200


def fill(sock, peer):
    """Send until no more fits, and the kernel has moved all that it would move; returns how many bytes. It
    would make buffers larger, at some later time, if their sizes were not set."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    filled, refused, pause = 0, 0, threading.Event()
    while refused < 20:
        try:
            filled += sock.send(b"x" * 65536)
            refused = 0
        except BlockingIOError:
            refused += 1
            pause.wait(0.005)
    return filled


def test_continue_reaches_a_client_that_was_not_reading():
    with running(app) as worker, worker.connect() as client:
        eventually(lambda: worker.counters.connections == 1)
        (connection,) = worker.loop._connections.open.values()
        filled = fill(connection.sock, client.sock)
        client.get("/echo", "Content-Length: 5", "Expect: 100-continue", method="POST")
        eventually(lambda: connection.sender.outbox.size)
        assert client.rest_of(filled) == b"x" * filled
        assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
        assert client.send(b"hello").response()[2] == b"hello"
