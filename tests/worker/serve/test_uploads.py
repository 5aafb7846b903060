"""A client that leaves before its request is here as a whole."""

from __future__ import annotations

import re
import socket
import struct

import pytest

from superwsgi.config.sections import Limits, TlsSettings
from tests.fixtureapps.wsgi_paths import app
from tests.worker.running import eventually, running

SIZED = b"POST /up?to HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
CHUNKED = b"PUT /up?to HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
INVITED = SIZED[:-2] + b"Expect: 100-continue\r\n\r\n"


def leave(sock):
    sock.close()


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def say_so(sock):
    """By TLS, where that is spoken."""
    sock.unwrap() if hasattr(sock, "unwrap") else sock.shutdown(socket.SHUT_WR)


@pytest.fixture(params=[False, True], ids=["TCP", "TLS"])
def secure(request, pair, ca):
    """What `running` and `connect` have to be told."""
    if not request.param:
        return TlsSettings(), None
    return TlsSettings(certificate=str(pair.certificate), key=str(pair.key)), ca.client()


def line_of(worker, method):
    line = eventually(lambda: next((x for x in worker.errors.splitlines() if "upload" in x), ""))
    eventually(lambda: f'"{method} /up?to HTTP/1.1" 499 -' in worker.access_file.read_text())
    eventually(lambda: worker.counters.connections == 0)
    assert worker.counters.requests == 0
    return line


@pytest.mark.parametrize(
    ("data", "method", "received"),
    [
        (SIZED, "POST", 0),
        (SIZED + b"x" * 5, "POST", 5),
        (SIZED + b"x" * 500_000, "POST", 500_000),
        (CHUNKED + b"5\r\nhello\r\n5", "PUT", 5),
    ],
    ids=["nothing", "some", "half", "chunk"],
)
def test_leaves_a_line(secure, data, method, received):
    tls, context = secure
    with running(app, tls=tls, limits=Limits(body_memory=1000)) as worker:
        client = worker.connect(context).send(data)
        say_so(client.sock)
        line = line_of(worker, method)
        client.sock.close()
        assert re.search(
            rf" info .*client closed during its upload request=\S+ method={method} target=/up\?to "
            rf"received={received} next=",
            line,
        ), line


@pytest.mark.parametrize("end", [leave, reset, say_so])
def test_leaves_it_however_it_leaves(secure, end):
    tls, context = secure
    with running(app, tls=tls) as worker:
        client = worker.connect(context).send(INVITED)
        client.until(b"\r\n\r\n")
        end(client.sock)
        assert " info " in line_of(worker, "POST")
        client.sock.close()


@pytest.mark.parametrize("data", [b"", b"GE", SIZED[:30], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_and_no_line_without_a_body(data):
    with running(app) as worker:
        client = worker.connect().send(data)
        client.sock.shutdown(socket.SHUT_WR)
        client.rest()
        client.sock.close()
        eventually(lambda: worker.counters.counts.accepted == 1 and worker.counters.connections == 0)
        assert not worker.errors
