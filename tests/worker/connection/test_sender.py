"""The client's side of a connection: what is held, sent, kept and given up."""

from __future__ import annotations

import select
import socket

import pytest

from superwsgi.http.errors import ClientGone
from superwsgi.worker.connection.alarm import NEVER, SECOND, Alarm
from superwsgi.worker.connection.delivery import CLIENT_CLOSED, LISTENING
from superwsgi.worker.connection.outbox import Outbox
from superwsgi.worker.connection.sender import CLIENT_TOO_SLOW, Sender
from superwsgi.worker.connection.states import Sending
from superwsgi.worker.connection.storage import Stores


@pytest.fixture
def sender():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs, select.epoll() as epoll:
        sender = Sender(ours, Outbox(Stores(0, lambda error: None)), epoll, Alarm(), SECOND, [])
        epoll.register(ours, LISTENING)
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


def fill(sender):
    """Send more than the client's socket takes."""
    while not sender.outbox.size:
        sender.send_piece(bytes(1 << 16))


def test_a_piece_is_a_sign_of_life(sender):
    sender, theirs = sender
    sender.send_piece(b"piece")
    assert theirs.recv(100) == b"piece"
    assert sender.state is Sending.BEGUN
    assert sender.spoke > 0


def test_what_is_kept_has_a_deadline_until_it_is_taken(sender):
    sender, theirs = sender
    fill(sender)
    assert sender.deadline != NEVER
    while sender.outbox.size:
        theirs.recv(1 << 20)
        sender.flush()
    assert sender.deadline == NEVER


def test_the_next_response_begins_with_nothing_sent(sender):
    sender, _ = sender
    sender.send_last(b"answer")
    sender.release()
    sender.begin([])
    assert sender.state is Sending.UNSENT


def test_nothing_is_held_behind_the_end_of_a_response(sender):
    sender, _ = sender
    sender.send_last(b"answer")
    with pytest.raises(KeyError):
        sender.send_last(b"another")


class TestCutting:
    def test_nothing_more_is_sent(self, sender):
        sender, _ = sender
        sender.cut()
        for send in (sender.send, sender.send_piece, sender.send_last):
            with pytest.raises(ClientGone):
                send(b"more")
        assert sender.loss == CLIENT_CLOSED

    def test_the_first_reason_stays(self, sender):
        sender, _ = sender
        sender.cut(CLIENT_TOO_SLOW)
        sender.cut()
        assert sender.loss == CLIENT_TOO_SLOW

    def test_what_was_kept_is_given_up(self, sender):
        sender, _ = sender
        fill(sender)
        kept = sender.outbox.size
        sender.cut()
        assert (sender.unsent, sender.outbox.size, sender.deadline) == (kept, 0, NEVER)

    def test_who_left_while_something_waits_is_found_out_by_sending_it(self, sender):
        sender, theirs = sender
        fill(sender)
        sender.lose()
        assert not sender.gone
        theirs.close()
        sender.flush()
        assert sender.gone

    def test_who_left_just_after_the_last_piece_was_taken_is_found_out_by_asking(self, sender):
        """The poller is told once, and maybe while the sending thread has yet to come back."""
        sender, _ = sender

        class Out:
            def send(self, data):
                sender.lose()
                return len(data)

        sender.out = Out()
        sender.send_piece(b"begun")
        assert sender.state is Sending.BEGUN
        assert sender.gone

    def test_who_left_while_nothing_does_is_gone_at_once(self, sender):
        sender, _ = sender
        sender.lose()
        assert sender.gone

    def test_an_unsent_response_is_overruled(self, sender):
        sender, theirs = sender
        assert sender.overrule(b"504")
        assert theirs.recv(100) == b"504"
        assert sender.gone

    @pytest.mark.parametrize("send", [Sender.send_piece, Sender.send_last])
    def test_one_that_has_begun_is_not(self, sender, send):
        sender, _ = sender
        send(sender, b"some of it")
        assert not sender.overrule(b"504")
        assert sender.gone
