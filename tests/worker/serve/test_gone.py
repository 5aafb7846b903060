"""Clients that leave while their request waits for a thread, and clients that only say no more."""

from __future__ import annotations

import contextlib
import socket
import struct

import pytest

from superwsgi.config.sections import TlsSettings
from tests.fixtureapps import wsgi_paths
from tests.fixtureapps.wsgi_paths import gate, inside
from tests.worker.running import eventually, running

ASKED = []


def app(environ, start_response):
    ASKED.append(environ["PATH_INFO"])
    return wsgi_paths.app(environ, start_response)


def close(sock):
    sock.close()


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def close_tls(sock):
    """Politely, without waiting for the answer."""
    sock.setblocking(False)
    with contextlib.suppress(OSError):
        sock.unwrap()
    sock.close()


@contextlib.contextmanager
def busy(**more):
    """A worker whose only thread is taken."""
    ASKED.clear()
    gate.clear()
    with running(app, threads=1, **more) as worker, worker.connect() as first:
        first.get("/wait")
        assert inside.acquire(timeout=60)
        yield worker
        gate.set()
        assert first.response()[0] == 200


@pytest.mark.parametrize(
    ("leave", "before"),
    [(close, False), (close, True), (reset, False)],  # a reset at once may overtake the request
    ids=["close", "close at once", "reset"],
)
@pytest.mark.parametrize("unix", [False, True], ids=["TCP", "unix"])
def test_a_request_of_a_client_that_has_gone_is_dropped(leave, unix, before):
    with busy(unix=unix) as worker:
        client = worker.connect().get("/gone")
        if not before:
            eventually(lambda: worker.counters.queued == 1)
        leave(client.sock)
        eventually(lambda: '"GET /gone HTTP/1.1" 499 ' in worker.access_file.read_text())
        eventually(lambda: worker.counters.queued == 0)
        eventually(lambda: worker.counters.connections == 1)
    assert ASKED == ["/wait"]


def test_so_is_one_over_tls(pair, ca):
    settings = TlsSettings(certificate=str(pair.certificate), key=str(pair.key))
    ASKED.clear()
    with running(app, threads=1, tls=settings) as worker, worker.connect(ca.client()) as first:
        first.get("/wait")
        assert inside.acquire(timeout=60)
        client = worker.connect(ca.client()).get("/gone")
        eventually(lambda: worker.counters.queued == 1)
        close_tls(client.sock)
        eventually(lambda: '"GET /gone HTTP/1.1" 499 ' in worker.access_file.read_text())
        half = worker.connect(ca.client()).get("/half-closed")
        eventually(lambda: worker.counters.queued == 1)
        socket.socket.shutdown(half.sock, socket.SHUT_WR)
        gate.set()
        assert first.response()[0] == 200
        assert half.rest().startswith(b"HTTP/1.1 200 OK\r\n")
        half.sock.close()
    assert ASKED == ["/wait", "/half-closed"]


@pytest.mark.parametrize("unix", [False, True], ids=["TCP", "unix"])
@pytest.mark.parametrize("before", [False, True], ids=["later", "at once"])
@pytest.mark.parametrize("path", ["/", "/half", "/big_pieces", "/leave"])
def test_a_client_that_only_says_no_more_gets_its_whole_answer(unix, before, path):
    """As if nothing had been sent to it meanwhile."""
    with running(app, unix=unix) as worker, worker.connect() as client:
        client.get(path, "Connection: close", "X-Request-ID: x")
        expected = _stable(client.rest())
    with busy(unix=unix) as worker, worker.connect() as client:
        client.get(path, "Connection: close", "X-Request-ID: x")
        if not before:
            eventually(lambda: worker.counters.queued == 1)
        client.sock.shutdown(socket.SHUT_WR)
        eventually(lambda: worker.counters.queued == 1)
        gate.set()
        assert _stable(client.rest()) == expected


def test_and_those_to_all_that_it_has_asked():
    with busy() as worker, worker.connect() as client:
        client.get("/").get("/").get("/")
        client.sock.shutdown(socket.SHUT_WR)
        eventually(lambda: worker.counters.queued == 1)
        gate.set()
        assert [client.response()[2] for _ in range(3)] == [b"hello"] * 3
        assert client.rest() == b""


def test_one_that_waits_in_vain_gets_a_whole_refusal():
    with busy(queue=0.3) as worker, worker.connect() as client:
        client.get("/")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.rest().startswith(b"HTTP/1.1 503 Service Unavailable\r\n")


def _stable(answer):
    """Without what differs from one answer to the next."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith((b"Date:", b"X-Request-ID:"))]
    return lines, body
