"""How a connection begins, without threads: accepted, believed or not, introduced, counted."""

from __future__ import annotations

import socket

import pytest

from superwsgi.config.sections import Limits, Proxy
from superwsgi.worker.connection.states import State
from superwsgi.worker.serve.connections import Step
from tests.worker.parts import GET, Parts

V1 = b"PROXY TCP4 192.0.2.7 192.0.2.1 1234 80\r\n"


def accepted(parts, count=1):
    """Clients, and the connections that were made of them."""
    address = parts.listener.getsockname()
    clients = [parts.keep(socket.create_connection(address)) for _ in range(count)]
    parts.acceptor.come_back()
    connections = []
    while len(connections) < count:
        for each in parts.acceptor.accept(parts.listener.fileno(), parts.connections.now):
            connections.append(parts.keep_connection(parts.admission.adopt(*each)))
    return clients, connections


def test_who_is_accepted_is_known_counted_and_owned():
    with Parts() as parts:
        _, (connection,) = accepted(parts)
        assert parts.connections.open == {connection.fd: connection}
        assert not connection.take()
        assert connection.state is State.NEW
        counters = parts.board.read(0)
        assert (counters.connections, counters.counts.accepted) == (1, 1)
        assert connection.deadline == parts.connections.now + parts.context.waits[State.NEW]


def test_it_is_listened_to():
    with Parts() as parts:
        (client,), (connection,) = accepted(parts)
        assert parts.admission.begin(connection) is Step.REST
        client.send(GET)
        assert connection.fd in dict(parts.context.epoll.poll(10))


def test_one_that_cannot_be_watched_is_closed():
    with Parts() as parts:
        _, (connection,) = accepted(parts)
        parts.admission.begin(connection)
        assert parts.admission.begin(connection) is Step.END
        assert "connection not watched" in parts.errors


class TestPerAddress:
    def test_one_too_many_is_refused_with_429(self):
        with Parts(limits=Limits(per_address=1), peers=Proxy(trusted=())) as parts:
            clients, (first, second) = accepted(parts, 2)
            assert parts.admission.begin(first) is Step.REST
            assert parts.admission.begin(second) is Step.REST
            assert second.state is State.LINGERING
            assert clients[1].recv(100).startswith(b"HTTP/1.1 429 ")

    def test_whose_connection_ended_may_have_another(self):
        with Parts(limits=Limits(per_address=1), peers=Proxy(trusted=())) as parts:
            _, (first, second) = accepted(parts, 2)
            parts.admission.begin(first)
            parts.ending.close(first)
            parts.admission.begin(second)
            assert second.state is State.NEW

    def test_a_trusted_proxy_is_not_counted(self):
        with Parts(limits=Limits(per_address=1), peers=Proxy(trusted=("127.0.0.1/32",))) as parts:
            _, connections = accepted(parts, 3)
            assert {parts.admission.begin(each) for each in connections} == {Step.REST}
            assert {each.state for each in connections} == {State.NEW}


class TestTheProxyProtocol:
    @pytest.fixture
    def parts(self):
        with Parts(peers=Proxy(protocol=True, trusted=("127.0.0.1/32",))) as parts:
            yield parts

    def test_its_connections_begin_with_a_header(self, parts):
        (client,), (connection,) = accepted(parts)
        assert connection.state is State.PROXY
        assert parts.admission.introduce(connection, 0) is Step.REST
        client.send(V1[:20])
        parts.admission.introduce(connection, 0)
        assert (connection.state, connection.called) == (State.PROXY, False)
        client.send(V1[20:] + GET)
        parts.admission.introduce(connection, 0)
        assert (connection.state, connection.remote) == (State.NEW, "192.0.2.7")
        assert connection.called
        assert connection.has_spoken()

    def test_what_is_none_is_turned_away(self, parts):
        (client,), (connection,) = accepted(parts)
        client.send(GET)
        assert parts.admission.introduce(connection, 0) is Step.END
        assert parts.board.counts(0).turned_away == 1

    def test_a_health_check_that_only_connects_is_no_mistake(self, parts):
        (client,), (connection,) = accepted(parts)
        client.close()
        assert parts.admission.introduce(connection, 0) is Step.END
        assert parts.board.counts(0).turned_away == 0

    def test_others_are_turned_away_before_they_begin(self):
        with Parts(peers=Proxy(protocol=True, trusted=("192.0.2.0/24",))) as parts:
            _, (connection,) = accepted(parts)
            assert parts.admission.begin(connection) is Step.END
            assert "not in proxy.trusted" in parts.errors


class TestMakingRoom:
    def test_silent_ones_go_and_those_that_speak_stay(self):
        with Parts() as parts:
            (silent, speaking), connections = accepted(parts, 2)
            for connection in connections:
                parts.admission.begin(connection)
                connection.let_go()
            speaking.send(GET)
            later = max(each.deadline for each in connections)
            while parts.admission.make_room(later):
                pass
            assert list(parts.connections.open.values()) == [connections[1]]
            assert silent.recv(1) == b""

    def test_one_that_somebody_owns_stays(self):
        with Parts() as parts:
            _, (connection,) = accepted(parts)
            assert not parts.admission.make_room(connection.deadline)

    def test_what_happened_to_one_that_stays_is_not_lost(self):
        with Parts() as parts:
            (client,), (connection,) = accepted(parts)
            connection.let_go()
            client.send(GET)
            connection.called = True
            parts.admission.make_room(connection.deadline)
            assert list(parts.connections.ready) == [connection]
