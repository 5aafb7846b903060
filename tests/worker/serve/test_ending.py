"""How a connection ends, without threads: what the client gets, and what is logged."""

from __future__ import annotations

import pytest

from superwsgi.http.errors import ClientGone, HttpError
from superwsgi.http.response.exchange import Exchange
from superwsgi.worker.connection.delivery import NO_LEASE
from superwsgi.worker.connection.states import Event, State
from superwsgi.worker.serve.connections import Step
from tests.worker.parts import GET, Parts

NOW = 1_000_000_000


@pytest.fixture
def parts():
    with Parts() as parts:
        yield parts


def in_application(peer, *, close=False):
    """The exchange of a request that the application has been called for, and has said nothing to."""
    end = b"\r\nConnection: close\r\n\r\n" if close else b"\r\n\r\n"
    connection = peer.connection
    connection.parser.feed(GET.replace(b"\r\n\r\n", end))
    connection.become(Event.RUN, NOW)
    connection.sender.begin(NO_LEASE)
    return Exchange(peer.context.gateway, connection.parser.pop(), connection.sender, NOW)


class TestRefusal:
    def test_it_says_why_and_hears_the_client_out(self, parts):
        peer = parts.peer()
        assert parts.ending.refuse(peer.connection, HttpError(400, "no Host"), NOW) is Step.REST
        received = peer.received()
        assert received.startswith(b"HTTP/1.1 400 ")
        assert received.endswith(b"no Host\n")
        assert peer.connection.state is State.LINGERING
        assert peer.client.recv(1) == b""
        assert sum(parts.board.counts(0).refused) == 1

    def test_what_the_server_lacks_is_a_warning(self, parts):
        for _ in range(3):
            parts.ending.refuse(parts.peer().connection, HttpError(503, "no thread"), NOW)
        assert parts.errors.count("request refused") == 1
        assert 'reason="no thread"' in parts.errors

    def test_a_client_that_left_is_closed(self, parts):
        peer = parts.peer()
        peer.client.close()
        assert parts.ending.refuse(peer.connection, HttpError(400, "no Host"), NOW) is Step.END
        assert peer.connection.state is State.CLOSED


class TestHangingUp:
    def test_a_client_that_asked_for_it_is_not_heard_out(self, parts):
        peer = parts.peer()
        exchange = in_application(peer, close=True)
        exchange.answer()
        peer.connection.expect_end(exchange)
        assert parts.ending.hang_up(peer.connection, NOW) is Step.END

    def test_unless_it_has_said_more(self, parts):
        peer = parts.peer()
        exchange = in_application(peer, close=True)
        exchange.answer()
        peer.connection.expect_end(exchange)
        peer.client.send(b"more")
        assert parts.ending.hang_up(peer.connection, NOW) is Step.REST
        assert peer.connection.state is State.LINGERING

    def test_what_it_still_sends_is_thrown_away_until_it_ends(self, parts):
        peer = parts.peer()
        parts.ending.hang_up(in_application(peer) and peer.connection, NOW)
        peer.client.send(b"more")
        assert parts.ending.discard(peer.connection) is Step.REST
        assert parts.ending.discard(peer.connection) is Step.REST
        peer.client.close()
        assert parts.ending.discard(peer.connection) is Step.END


class TestAStuckRequest:
    def test_who_has_got_nothing_gets_a_504(self, parts):
        peer = parts.peer()
        exchange = in_application(peer)
        assert parts.ending.abandon(peer.connection, exchange, NOW) is Step.REST
        assert peer.received().startswith(b"HTTP/1.1 504 ")
        assert peer.connection.sender.gone
        ((_, status, _),) = parts.logged()
        assert status == 504

    def test_who_has_got_some_gets_no_more(self, parts):
        peer = parts.peer()
        exchange = in_application(peer)
        peer.connection.sender.send_piece(b"HTTP/1.1 200 OK\r\n")
        assert parts.ending.abandon(peer.connection, exchange, NOW) is Step.REST
        assert peer.received() == b"HTTP/1.1 200 OK\r\n"
        assert peer.client.recv(1) == b""
        with pytest.raises(ClientGone):
            peer.connection.sender.send_piece(b"more")

    def test_who_takes_it_slowly_gets_the_rest_first(self, parts):
        peer = parts.peer()
        exchange = in_application(peer)
        peer.connection.sender.send_piece(bytes(4 << 20))
        assert parts.ending.abandon(peer.connection, exchange, NOW) is Step.REST
        assert peer.connection.state is State.SENDING
        received = len(peer.received())
        while received < 4 << 20:
            assert parts.service._send_on(peer.connection) is Step.REST
            received += len(peer.received())
        assert peer.connection.state is State.LINGERING
        assert peer.client.recv(1) == b""

    def test_who_has_got_all_need_not_know(self, parts):
        peer = parts.peer()
        exchange = in_application(peer)
        exchange.answer()
        assert parts.ending.abandon(peer.connection, exchange, NOW) is Step.REST
        assert peer.received().endswith(b"hello")
        assert parts.logged() == [("/", 200, 5)]


class TestAClientThatLeaves:
    def test_before_it_has_said_anything_is_no_line(self, parts):
        peer = parts.peer()
        assert parts.ending.lose(peer.connection) is Step.END
        assert parts.logged() == []

    def test_during_its_upload_is_one(self, parts):
        peer = parts.peer()
        peer.connection.parser.feed(b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nsome")
        parts.ending.lose(peer.connection)
        assert parts.logged() == [("/up", 499, 0)]
        assert "received=4" in parts.errors

    def test_with_bytes_still_to_send_gets_the_line_for_what_it_got(self, parts):
        peer = parts.peer()
        exchange = in_application(peer)
        exchange.answer()
        exchange.sent += 100
        peer.connection.sender.outbox.put(bytes(100))
        assert parts.ending.leave_to_poller(peer.connection, exchange, NOW) is Step.REST
        assert parts.logged() == []
        parts.ending.close(peer.connection)
        assert parts.logged() == [("/", 499, 5)]
        parts.ending.log_late(peer.connection)
        assert parts.logged() == []


def test_closing_ends_its_count(parts):
    peer = parts.peer()
    assert parts.ending.close(peer.connection) is Step.END
    assert parts.connections.open == {}
    assert peer.client.recv(1) == b""
