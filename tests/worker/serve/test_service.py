"""What is done with a connection, step by step and without threads: each step says what is next."""

from __future__ import annotations

import time

import pytest

from superwsgi.config.sections import Limits
from superwsgi.worker.connection.alarm import SECOND
from superwsgi.worker.connection.states import Sending, State
from superwsgi.worker.serve.connections import Step
from tests.worker.parts import GET, Parts, hello


@pytest.fixture
def parts():
    with Parts() as parts:
        yield parts


def attend(parts, peer, step=Step.ATTEND):
    parts.service.attend(peer.connection, parts.me, step)


def where(parts, peer):
    """In which queues a connection is."""
    connections = parts.connections
    queues = {
        "ready": connections.ready,
        "handshakes": connections.handshakes,
        "complete": connections.complete,
        "queue": parts.queued(),
        "leaving": connections.leaving,
    }
    return [name for name, queue in queues.items() if peer.connection in queue]


def run(parts, *peers):
    """Read what they ask, and run the application for it; answers have not left yet."""
    for peer in peers:
        peer.client.send(GET)
        attend(parts, peer)
    for _ in peers:
        parts.service.attend(parts.connections.complete.popleft(), parts.me, Step.RUN)


class TestReading:
    def test_a_complete_request_waits_for_its_turn(self, parts):
        peer = parts.peer()
        peer.client.send(GET)
        attend(parts, peer)
        assert where(parts, peer) == ["complete"]
        assert not peer.connection.take()

    @pytest.mark.parametrize(
        ("data", "state"),
        [
            (b"", State.NEW),
            (b"GET / HTT", State.HEAD),
            (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx", State.BODY),
        ],
    )
    def test_of_what_is_not_complete_nobody_is_the_owner(self, parts, data, state):
        peer = parts.peer()
        if data:
            peer.client.send(data)
        attend(parts, peer)
        assert (where(parts, peer), peer.connection.state) == ([], state)
        assert peer.connection.take()

    def test_what_happened_meanwhile_puts_it_behind_the_others(self, parts):
        peer = parts.peer()
        peer.client.send(b"GET / HTT")
        peer.connection.ended = True
        attend(parts, peer)
        assert where(parts, peer) == ["ready"]

    def test_continue_is_sent_once(self, parts):
        peer = parts.peer()
        peer.client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
        attend(parts, peer)
        peer.connection.take()
        attend(parts, peer)
        assert peer.received() == b"HTTP/1.1 100 Continue\r\n\r\n"

    def test_a_mistake_is_answered_and_the_client_heard_out(self, parts):
        peer = parts.peer()
        peer.client.send(b"nonsense\r\n\r\n")
        attend(parts, peer)
        assert peer.received().startswith(b"HTTP/1.1 400 ")
        assert peer.connection.state is State.LINGERING
        ((target, status, sent),) = parts.logged()
        assert (target, status, sent > 0) == ("", 400, True)

    def test_a_client_that_left_is_closed(self, parts):
        peer = parts.peer()
        peer.client.close()
        attend(parts, peer)
        assert peer.connection.state is State.CLOSED
        assert parts.connections.open == {}
        assert not peer.connection.take()


class TestRunning:
    def test_an_answer_of_several_waits_to_leave_with_them(self, parts):
        first, second = parts.peer(), parts.peer()
        run(parts, first, second)
        assert where(parts, first) == ["leaving"]
        assert first.connection.sender.state is Sending.HELD
        assert first.received() == b""

    def test_and_is_sent_when_it_leaves(self, parts):
        first, second = parts.peer(), parts.peer()
        run(parts, first, second)
        attend(parts, first, Step.LEAVE)
        assert first.received().endswith(b"\r\n\r\nhello")
        assert first.connection.state is State.IDLE
        assert first.connection.exchange is None
        assert parts.logged()[-1] == ("/", 200, 5)

    def test_the_last_of_them_leaves_at_once(self, parts):
        peer = parts.peer()
        run(parts, peer)
        assert peer.received().endswith(b"\r\n\r\nhello")
        assert (where(parts, peer), peer.connection.state) == ([], State.IDLE)

    def test_without_a_permit_it_waits_in_the_queue(self, parts):
        peer = parts.peer()
        parts.pool.permits.clear()
        run(parts, peer)
        assert (where(parts, peer), peer.connection.state) == (["queue"], State.QUEUED)
        assert not parts.service.run_queued(parts.me)
        parts.pool.permits.append(None)
        assert parts.service.run_queued(parts.me)
        assert peer.received().endswith(b"hello")
        assert parts.pool.permits == [None]

    def test_nobody_overtakes_the_queue(self, parts):
        waiting, later = parts.peer(), parts.peer()
        permits, parts.pool.permits[:] = list(parts.pool.permits), []
        run(parts, waiting)
        parts.pool.permits.extend(permits)
        run(parts, later)
        assert parts.queued() == [waiting.connection, later.connection]

    def test_who_left_the_queue_is_not_run_for(self, parts):
        peer = parts.peer()
        permits, parts.pool.permits[:] = list(parts.pool.permits), []
        run(parts, peer)
        parts.pool.permits.extend(permits)
        peer.connection.sender.lose()
        assert parts.service.run_queued(parts.me)
        assert parts.pool.permits == permits
        assert parts.logged() == [("/", 499, 0)]
        assert peer.connection.state is State.CLOSED

    def test_a_request_behind_it_lets_others_have_their_turn(self, parts):
        peer = parts.peer()
        peer.client.send(GET * 2)
        attend(parts, peer)
        parts.service.attend(parts.connections.complete.popleft(), parts.me, Step.RUN)
        assert where(parts, peer) == ["ready"]

    def test_a_request_that_was_written_off_is_no_longer_the_threads(self):
        def written_off(environ, start_response):
            parts.me.token.pop()
            return hello(environ, start_response)

        with Parts(written_off) as parts:
            peer = parts.peer()
            run(parts, peer)
            assert parts.me.written_off
            assert where(parts, peer) == []
            assert not peer.connection.take()


def test_a_full_queue_refuses():
    with Parts(limits=Limits(queue=1)) as parts:
        parts.pool.permits.clear()
        peers = [parts.peer(), parts.peer()]
        run(parts, *peers)
        assert parts.queued() == [peers[0].connection]
        assert peers[1].received().startswith(b"HTTP/1.1 503 ")


def refused_as_quarantined(parts, peer):
    counted = parts.board.counts(0)
    answer = peer.received()
    return answer.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: " in answer and counted.quarantined == 1


def test_what_is_in_quarantine_is_refused_before_it_runs(parts):
    parts.service.quarantine.put({"GET /": time.monotonic() + 60})
    peer = parts.peer()
    permits = list(parts.pool.permits)
    run(parts, peer)
    assert refused_as_quarantined(parts, peer)
    assert parts.pool.permits == permits


def test_what_waits_when_its_quarantine_begins_is_refused_when_its_turn_comes(parts):
    permits = list(parts.pool.permits)
    parts.pool.permits.clear()
    peer = parts.peer()
    run(parts, peer)
    assert parts.queued() == [peer.connection]
    parts.service.quarantine.put({"GET /": time.monotonic() + 60})
    parts.pool.permits.extend(permits)
    assert parts.service.run_queued(parts.me)
    assert refused_as_quarantined(parts, peer)
    assert parts.pool.permits == permits


def test_the_last_request_that_a_client_wants_ends_the_connection(parts):
    peer = parts.peer()
    peer.client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    attend(parts, peer)
    parts.service.attend(parts.connections.complete.popleft(), parts.me, Step.RUN)
    assert peer.received().endswith(b"hello")
    assert peer.connection.state is State.CLOSED


def test_a_client_that_does_not_read_costs_no_thread(parts):
    def large(environ, start_response):
        start_response("200 OK", [])
        return [bytes(8 << 20)]

    with Parts(large) as parts:
        peer = parts.peer()
        run(parts, peer)
        assert peer.connection.state is State.SENDING
        assert peer.connection.take()
        received = len(peer.received())
        while peer.connection.state is State.SENDING:
            attend(parts, peer)
            received += len(peer.received())
            peer.connection.take()
        assert received > 8 << 20
        assert parts.logged() == [("/", 200, 8 << 20)]


def test_an_error_of_the_servers_own_ends_the_connection_and_frees_the_thread(parts):
    peer = parts.peer()
    now = time.monotonic_ns()
    parts.run(peer.connection, now, now + SECOND, number=0).attended = peer.connection
    parts.service.recover(parts.me)
    assert peer.connection.state is State.CLOSED
    assert len(parts.pool.permits) == 2
    assert parts.me.attended is None
