"""Whatever bytes come over a socket, there is an answer or an end: never a 500, never a wait without end."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given

from superwsgi.config.sections import Limits
from tests.http.request.streams import SMALL, cut, cuts, fuzzing, outcome, streams
from tests.worker.running import Running, running

_EXPECTED = re.compile(" (client closed during its upload|field left out) ")
_STATUS = re.compile(rb"^HTTP/1\.1 (\d{3}) ", re.MULTILINE)


def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "0"), ("X-Body", str(len(environ["wsgi.input"].read())))])
    return []


@pytest.fixture(scope="module", params=[{}, SMALL], ids=["usual limits", "small limits"])
def worker(request) -> Iterator[tuple[Running, dict[str, int]]]:
    with running(app, limits=Limits(**request.param)) as running_worker:
        yield running_worker, request.param


@fuzzing
@given(stream=streams, places=cuts)
def test_an_answer_or_an_end(worker, stream, places):
    site, small = worker
    with site.connect() as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):  # it may have hung up already
            for piece in cut(stream, places):
                client.send(piece)
            client.sock.shutdown(socket.SHUT_WR)
        answers = client.rest()
    expected = outcome([stream], **small)
    statuses = [int(status) for status in _STATUS.findall(answers) if status != b"100"]
    assert statuses == [200] * len(expected.requests) + ([expected.error] if expected.error else [])
    said = site.errors.splitlines()
    assert [line for line in said if not _EXPECTED.search(line)] == []
