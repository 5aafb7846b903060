"""Requests that arrive together: their answers leave together, and none waits for long."""

from __future__ import annotations

import select
import socket

import pytest

from superwsgi.worker.connection.alarm import SECOND, Alarm
from superwsgi.worker.connection.outbox import Outbox
from superwsgi.worker.connection.sender import Sender
from superwsgi.worker.connection.states import Sending
from superwsgi.worker.connection.storage import Stores
from tests.fixtureapps.wsgi_paths import app, gate, inside
from tests.worker.running import eventually, running


def test_each_gets_its_answer():
    with running(app, early=["/", "/said"] * 20) as worker:
        answers = [client.response() for client in worker.early]
        assert {status for status, _, _ in answers} == {200}
        assert [body == b"hello" for _, _, body in answers] == [True, False] * 20
        eventually(lambda: worker.access_file.read_text().count(" 200 ") == 40)
        for client in worker.early:
            assert client.get().response()[2] == b"hello"


def test_no_answer_waits_for_a_request_that_blocks():
    with running(app, early=["/", "/", "/wait", "/"]) as worker:
        assert inside.acquire(timeout=10)
        for number in (0, 1, 3):
            assert worker.early[number].response()[2] == b"hello"
        gate.set()
        assert worker.early[2].response()[2] == b"hello"


@pytest.mark.parametrize("path", ["/closing", "/closing-later"])
def test_no_answer_waits_for_an_application_that_blocks_behind_it(path):
    with running(app, threads=4, early=[path, path, "/"]) as worker:
        assert [client.response()[2] for client in worker.early] == [b"all of it", b"all of it", b"hello"]
        eventually(lambda: worker.access_file.read_text().count(" 200 ") == 1)  # two are not done
        gate.set()
        eventually(lambda: worker.access_file.read_text().count(" 200 ") == 3)


def test_an_error_behind_the_end_of_an_answer_ends_the_connection():
    with running(app, early=["/error", "/error", "/"]) as worker:
        for client in worker.early[:2]:
            assert client.rest().endswith(b"all of it")
        assert worker.early[2].response()[2] == b"hello"
        eventually(lambda: "after the end" in worker.errors)


@pytest.fixture
def sender():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs, select.epoll() as epoll:
        sender = Sender(ours, Outbox(Stores(0, lambda error: None)), epoll, Alarm(), SECOND, [])
        sender.begin([None])
        yield sender, theirs


def nothing_from(theirs):
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    return True


def test_what_is_held_is_sent_once(sender):
    sender, theirs = sender
    sender.send_last(b"answer")
    assert sender.state is Sending.HELD
    assert nothing_from(theirs)
    sender.release()
    sender.release()
    assert sender.state is Sending.SENT
    assert theirs.recv(100) == b"answer"


def test_nothing_is_held_without_a_lease(sender):
    sender, theirs = sender
    sender.lease = []
    sender.send_last(b"answer")
    assert theirs.recv(100) == b"answer"


def test_large_answers_are_not_held(sender):
    sender, theirs = sender
    sender.send_last(b"x" * 20_000)
    assert len(theirs.recv(20_000)) == 20_000
    assert not sender.held


def test_what_is_held_for_a_client_that_left_counts_as_not_sent(sender):
    sender, theirs = sender
    sender.send_last(b"answer")
    sender.cut()
    sender.release()
    assert (sender.unsent, sender.held) == (6, b"")
    assert nothing_from(theirs)


def test_a_client_is_found_to_have_left(sender):
    sender, theirs = sender
    sender.send_last(b"answer")
    theirs.close()
    sender.release()
    assert sender.gone
    assert sender.unsent == 6
