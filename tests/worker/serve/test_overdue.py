"""What a deadline leads to, in each state and for each thread: decided at a time that the test chooses."""

from __future__ import annotations

import pytest

from superwsgi.worker.connection.alarm import NEVER, SECOND
from superwsgi.worker.connection.sender import RATE, fast_enough
from superwsgi.worker.connection.states import Event, State
from superwsgi.worker.serve.overdue.deadlines import AT_ONCE
from tests.worker.parts import GET, Parts

NOW = 1_000 * SECOND
LATER = NOW + 100 * SECOND
BODY = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"


@pytest.fixture
def parts():
    with Parts(slow=0, request=60, send=30, body=30, head=10, keepalive=5) as parts:
        parts.connections.now = NOW
        yield parts


def idle(peer):
    """Nobody owns it."""
    peer.connection.let_go()
    return peer


@pytest.mark.parametrize(("moved", "enough"), [(0, False), (RATE * 30 - 1, False), (RATE * 30, True)])
def test_what_is_fast_enough(moved, enough):
    assert fast_enough(moved, 30 * SECOND) is enough


def test_nothing_happens_before_its_time(parts):
    peer = parts.peer()
    peer.connection.become(Event.HEAD, NOW)
    idle(peer)
    assert parts.deadlines.look(NOW) == peer.connection.deadline
    assert peer.connection.state is State.HEAD


@pytest.mark.parametrize(
    ("event", "status"),
    [(Event.HEAD, b"408"), (Event.BODY, b"408"), (None, b"")],
    ids=["head", "body", "new"],
)
def test_a_client_that_does_not_go_on(parts, event, status):
    peer = parts.peer()
    if event is not None:
        peer.connection.become(event, NOW)
    idle(peer)
    parts.deadlines.look(LATER)
    assert peer.received()[9:12] == status
    assert peer.connection.state in (State.LINGERING, State.CLOSED)


def test_one_that_speaks_at_the_last_moment_is_heard(parts):
    peer = idle(parts.peer())
    peer.client.send(GET)
    parts.deadlines.look(LATER)
    assert list(parts.connections.ready) == [peer.connection]


def test_a_body_that_comes_fast_enough_may_take_longer(parts):
    peer = parts.peer()
    peer.connection.parser.feed(BODY + bytes(RATE * 30))
    peer.connection.become(Event.BODY, NOW)
    idle(peer)
    parts.deadlines.look(LATER)
    assert peer.connection.state is State.BODY
    assert peer.connection.deadline == LATER + 30 * SECOND
    parts.deadlines.look(LATER + 40 * SECOND)
    assert peer.connection.state is State.LINGERING


def test_who_is_owned_is_left_to_its_owner(parts):
    peer = parts.peer()
    peer.connection.become(Event.HEAD, NOW)
    parts.deadlines.look(LATER)
    assert peer.connection.state is State.HEAD


def test_a_request_that_waits_too_long_for_a_thread(parts):
    peer = parts.peer()
    peer.connection.parser.feed(GET)
    peer.connection.become(Event.QUEUE, NOW)
    parts.connections.queue.put(peer.connection, NOW)
    parts.deadlines.look(LATER)
    assert parts.queued() == []
    assert peer.received().startswith(b"HTTP/1.1 503 ")


class TestAClientThatTakesTooLittle:
    @pytest.fixture
    def peer(self, parts):
        peer = parts.peer()
        parts.run(peer.connection, NOW, NOW + 60 * SECOND)
        peer.connection.sender.send_piece(bytes(16 << 20))
        return peer

    def test_is_cut_off_and_its_owner_told(self, parts, peer):
        when = peer.connection.sender.deadline
        parts.deadlines.look(when)
        assert peer.connection.sender.gone
        assert peer.connection.called
        assert peer.connection.sender.deadline == NEVER

    def test_is_closed_where_nobody_owns_it(self, parts, peer):
        peer.connection.become(Event.BLOCK, NOW)
        idle(peer)
        parts.deadlines.look(peer.connection.sender.deadline)
        assert list(parts.connections.ready) == [peer.connection]

    def test_is_given_time_while_it_takes_enough(self, parts, peer):
        sender = peer.connection.sender
        peer.received()
        sender.flush()
        when = sender.deadline
        parts.deadlines.look(when)
        assert not sender.gone
        assert sender.deadline == when + 30 * SECOND


class TestTheApplication:
    def test_a_thread_without_a_sign_of_life_is_written_off(self, parts):
        peer = parts.peer()
        thread = parts.run(peer.connection, NOW, NOW + 60 * SECOND)
        parts.deadlines.look(NOW + 61 * SECOND)
        assert thread not in parts.pool
        assert len(list(parts.pool)) == len(parts.threads)
        assert peer.received().startswith(b"HTTP/1.1 504 ")
        assert peer.connection.exchange is None
        assert "request stuck" in parts.errors

    def test_of_many_some_are_ended_and_all_else_goes_on(self):
        with Parts(threads=AT_ONCE + 5, slow=0, request=60) as parts:
            parts.connections.now = NOW
            peers = [parts.peer() for _ in range(AT_ONCE + 5)]
            for number, peer in enumerate(peers):
                parts.run(peer.connection, NOW, NOW + 60 * SECOND, number)
            late = NOW + 61 * SECOND
            assert parts.deadlines.look(late) == late, "it looks again at once"
            assert sum(peer.connection.exchange is None for peer in peers) == AT_ONCE
            assert parts.deadlines.look(late) > late
            assert {peer.received()[:13] for peer in peers} == {b"HTTP/1.1 504 "}

    def test_one_that_says_something_goes_on(self, parts):
        peer = parts.peer()
        thread = parts.run(peer.connection, NOW, NOW + 60 * SECOND)
        peer.connection.sender.spoke = NOW + 59 * SECOND
        parts.deadlines.look(NOW + 61 * SECOND)
        assert thread in parts.pool
        assert thread.deadline == NOW + 119 * SECOND

    def test_one_that_has_the_next_request_in_hand_meanwhile_keeps_that(self, parts):
        """It has come back since it was seen to be late, and has the token of another exchange."""
        first, second = parts.peer(), parts.peer()
        thread = parts.run(first.connection, NOW, NOW + 60 * SECOND)
        thread.token.clear()
        parts.run(second.connection, NOW + 61 * SECOND, NOW + 60 * SECOND)
        thread.connection = first.connection
        parts.deadlines.look(NOW + 61 * SECOND)
        assert thread in parts.pool
        assert thread.token == [second.connection.exchange]
        assert first.received() == second.received() == b""

    def test_what_one_that_is_written_off_has_counted_is_shown(self, parts):
        thread = parts.run(parts.peer().connection, NOW, NOW + 60 * SECOND)
        thread.counts.count(200, 0, 7, 0, 0)
        assert parts.board.counts(0).sent == 0
        parts.deadlines.look(NOW + 61 * SECOND)
        assert parts.board.counts(0).sent >= 7

    def test_one_that_has_just_come_back_is_left_alone(self, parts):
        peer = parts.peer()
        thread = parts.run(peer.connection, NOW, NOW + 60 * SECOND)
        thread.token.pop()
        parts.deadlines.look(NOW + 61 * SECOND)
        assert thread in parts.pool

    def test_one_that_was_written_off_and_has_ended_is_forgotten(self, parts):
        parts.run(parts.peer().connection, NOW, NOW + 60 * SECOND)
        parts.deadlines.look(NOW + 61 * SECOND)
        parts.deadlines.look(NOW + 200 * SECOND)
        assert parts.recycled == []
