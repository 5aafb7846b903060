"""The PROXY protocol over real sockets: where the header ends, who may send it, and what happens without."""

from __future__ import annotations

import json
import socket

import pytest

from superwsgi.config.sections import Proxy
from tests.http.client.proxy_headers import LOCAL, SSL, V1, summed, v2
from tests.worker.running import DEADLINE, eventually, running

ON = Proxy(protocol=True, trusted=("127.0.0.1/32", "unix"))
REQUEST = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"


def app(environ, start_response):
    keys = ("PATH_INFO", "REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT", "wsgi.url_scheme")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([environ[key] for key in keys]).encode()]


def answers(client, count):
    return [json.loads(client.response()[2]) for _ in range(count)]


def expected(count, scheme="http"):
    return [[f"/{n}", "192.0.2.1", "4711", "198.51.100.7", "443", scheme] for n in range(count)]


HEADERS = {"v1": V1, "v2": v2(), "v2 with a checksum": summed(), "v2 with TLVs": v2(tlvs=SSL * 40)}
headers = pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
unix = pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])


@unix
@headers
def test_with_the_requests_behind_it(header, unix):
    with running(app, peers=ON, unix=unix) as worker, worker.connect() as client:
        client.send(header + b"".join(REQUEST % n for n in range(3)))
        assert answers(client, 3) == expected(3, "https" if SSL in header else "http")
        client.send(REQUEST % 0)
        assert answers(client, 1) == expected(1, "https" if SSL in header else "http")
        eventually(lambda: worker.access_file.read_text().count("192.0.2.1 - - ") == 4)


@unix
@headers
def test_byte_by_byte(header, unix):
    with running(app, peers=ON, unix=unix) as worker, worker.connect() as client:
        if not unix:
            client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = header + REQUEST % 0
        for at in range(len(data)):
            client.send(data[at : at + 1])
        assert answers(client, 1) == expected(1, "https" if SSL in header else "http")


@unix
@pytest.mark.parametrize("at", [1, 5, 12, 15, 16, 27, 28, 29, 45, 50])
def test_split_anywhere(at, unix):
    with running(app, peers=ON, unix=unix) as worker:
        for header in (V1, v2()):
            with worker.connect() as client:
                data = header + REQUEST % 0
                client.send(data[:at])
                eventually(lambda: worker.counters.connections == 1)
                client.send(data[at:])
                assert answers(client, 1) == expected(1)
            eventually(lambda: worker.counters.connections == 0)


def test_a_body_larger_than_any_buffer_behind_it():
    with running(app, peers=ON) as worker, worker.connect() as client:
        client.send(V1 + b"POST /0 HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" + bytes(3_000_000))
        assert answers(client, 1) == expected(1)


def test_a_health_check():
    with running(app, peers=ON) as worker, worker.connect() as client:
        client.send(LOCAL + REQUEST % 0)
        ((_, address, *_),) = answers(client, 1)
        assert address == "127.0.0.1"


def test_a_client_that_closes_its_side_behind_its_request():
    with running(app, peers=ON) as worker, worker.connect() as client:
        client.send(V1 + REQUEST % 0)
        client.sock.shutdown(socket.SHUT_WR)
        assert b'"192.0.2.1"' in client.rest()


WRONG = {
    "a request": REQUEST % 0,
    "a TLS hello": bytes.fromhex("16030100c4010000c0"),
    "an address that is none": b"PROXY TCP4 1.2.3 198.51.100.7 4711 443\r\n" + REQUEST % 0,
    "a wrong checksum": summed()[:-1] + b"\0" + REQUEST % 0,
    "a line without end": b"PROXY UNKNOWN " + b"x" * 200,
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_without_it_there_is_no_answer(data):
    with running(app, peers=ON) as worker, worker.connect() as client:
        client.send(data)
        assert client.rest() == b""
        eventually(lambda: "connection refused peer=127.0.0.1 reason=" in worker.errors)
        assert (worker.counters.counts.turned_away, worker.counters.connections) == (1, 0)


@pytest.mark.parametrize("data", [b"PROXY ", v2()[:14]])
def test_half_of_it(data):
    with running(app, peers=ON) as worker, worker.connect() as client:
        client.send(data)
        client.sock.shutdown(socket.SHUT_WR)
        assert client.rest() == b""
        eventually(lambda: "ended inside" in worker.errors)


def test_many_health_checks_do_no_more_than_connect():
    with running(app, peers=ON) as worker:
        worker.connect().sock.close()
        eventually(lambda: worker.counters.counts.accepted == 1 and worker.counters.connections == 0)
        assert "refused" not in worker.errors


@pytest.mark.parametrize("data", [b"", b"PROXY TCP4 "])
def test_it_has_a_deadline_of_its_own(data):
    with running(app, peers=ON, proxy=0.2) as worker, worker.connect() as client:
        client.send(data)
        assert client.rest() == b""
        eventually(lambda: "within timeouts.proxy" in worker.errors)


def test_behind_it_the_deadlines_are_those_of_any_request():
    with running(app, peers=ON, proxy=0.2, head=DEADLINE) as worker, worker.connect() as client:
        client.send(V1)
        with worker.connect() as other:
            assert other.rest() == b"", "of timeouts.proxy"
        client.send(REQUEST % 0)
        assert answers(client, 1) == expected(1)


@unix
def test_nobody_else_may_send_it(unix):
    nobody = Proxy(protocol=True, trusted=("10.0.0.0/8",))
    with running(app, peers=nobody, unix=unix) as worker, worker.connect() as client:
        assert client.rest() == b""
        eventually(lambda: 'reason="not in proxy.trusted' in worker.errors)
        assert (worker.counters.counts.turned_away, worker.counters.connections) == (1, 0)


def test_where_it_is_off_it_is_no_request():
    with running(app) as worker, worker.connect() as client:
        assert client.send(V1 + REQUEST % 0).response()[0] == 400
