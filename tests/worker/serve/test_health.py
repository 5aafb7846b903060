"""What health checks are answered, by how the worker goes; and that they take no part in what requests do."""

from __future__ import annotations

from itertools import product

import pytest

from superwsgi.config.sections import HealthSettings, Limits
from superwsgi.worker.connection.states import State
from superwsgi.worker.serve.connections import Step
from superwsgi.worker.serve.health import Going, is_ready
from tests.worker.parts import GET, Parts

PATHS = HealthSettings(live="/livez", ready="/readyz")

READY = {
    (Going.STAYS, False): True,
    (Going.STAYS, True): True,
    (Going.TOLD, False): False,
    (Going.TOLD, True): True,
    (Going.RELIEVED, False): True,
    (Going.RELIEVED, True): True,
    (Going.LAST, False): False,
    (Going.LAST, True): False,
}


def test_when_it_is_ready():
    assert {each: is_ready(*each) for each in product(Going, (False, True))} == READY


@pytest.fixture
def parts():
    with Parts(health=PATHS, limits=Limits(queue=1)) as parts:
        yield parts


def get(path: str, *fields: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *fields, "\r\n"]).encode()


def asks(parts, peer, data):
    """Sends it, and gets its turn."""
    peer.client.send(data)
    parts.service.attend(peer.connection, parts.me, Step.ATTEND)
    run(parts)


def run(parts):
    parts.service.attend(parts.connections.complete.popleft(), parts.me, Step.RUN)


def said(peer):
    """Status and body."""
    head, _, body = peer.received().partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


@pytest.mark.parametrize(
    ("words", "ready"),
    [
        ([], "ok\n"),
        ([Going.TOLD], "draining\n"),
        ([Going.TOLD, Going.RELIEVED], "ok\n"),
        ([Going.RELIEVED, Going.TOLD], "ok\n"),
        ([Going.RELIEVED, Going.LAST], "draining\n"),
        ([Going.LAST, Going.RELIEVED], "draining\n"),
    ],
)
def test_the_last_word(parts, words, ready):
    for word in words:
        parts.service.health.leave(word)
    for path, body in (("/readyz", ready), ("/livez", "ok\n")):
        peer = parts.peer()
        asks(parts, peer, get(path))
        assert said(peer) == (200 if body == "ok\n" else 503, body)


def test_a_sibling_that_accepts_makes_up_for_a_worker_that_was_told_to_go(parts):
    parts.service.health.leave(Going.TOLD)
    parts.board.writer(1).set("accepting", 1)
    peer = parts.peer()
    asks(parts, peer, get("/readyz"))
    assert said(peer) == (200, "ok\n")


def test_neither_threads_nor_the_queue_matter(parts):
    parts.pool.permits.clear()
    asks(parts, parts.peer(), GET)
    assert len(parts.queued()) == 1
    refused, peer = parts.peer(), parts.peer()
    asks(parts, refused, GET)
    assert said(refused)[0] == 503
    asks(parts, peer, get("/readyz"))
    assert said(peer) == (200, "ok\n")
    assert peer.connection.state is State.IDLE
    assert [status for _, status, _ in parts.logged()] == [503]
    assert parts.board.read(0).requests == 1, "the one that was refused"


def test_the_last_on_a_connection_that_drains(parts):
    parts.context.gateway.closing = True
    peer = parts.peer()
    asks(parts, peer, get("/livez") + get("/readyz"))
    assert b"Connection" not in peer.received()
    parts.service.attend(parts.connections.ready.popleft(), parts.me, Step.ATTEND)
    run(parts)
    assert b"\r\nConnection: close\r\n" in peer.received()
    assert peer.connection.state is State.LINGERING


def test_a_client_that_has_gone(parts):
    peer = parts.peer()
    peer.client.send(get("/livez"))
    parts.service.attend(peer.connection, parts.me, Step.ATTEND)
    peer.client.close()
    run(parts)
    assert peer.connection.state is State.CLOSED


def test_a_client_that_does_not_read(parts):
    peer = parts.peer()
    asks(parts, peer, get("/livez"))
    answers = 1
    while peer.connection.state is State.IDLE:
        assert peer.connection.take()
        asks(parts, peer, get("/livez"))
        answers += 1
    assert peer.connection.state is State.SENDING
    read = peer.received()
    assert peer.connection.take()
    parts.service.attend(peer.connection, parts.me, Step.ATTEND)
    read += peer.received()
    assert read.count(b"\r\n\r\nok\n") == answers
    assert peer.connection.state is State.IDLE


def test_where_none_is_configured_the_application_is_asked():
    with Parts() as parts:
        peer = parts.peer()
        asks(parts, peer, get("/livez"))
        assert said(peer) == (200, "hello")
