"""What a client may have of a worker: a place in the queue, a connection, some memory."""

from __future__ import annotations

import pytest

from superwsgi.config.sections import Limits, Proxy
from superwsgi.worker.connection import crowding, states
from superwsgi.worker.connection.alarm import SECOND
from superwsgi.worker.connection.crowding import Addresses, client_of
from superwsgi.worker.connection.states import State
from tests.fixtureapps.wsgi_paths import app, gate, inside
from tests.worker.running import eventually, running


class TestAFullQueue:
    @pytest.mark.parametrize("places", [0, 2])
    def test_is_a_503(self, places):
        with running(app, threads=1, limits=Limits(queue=places)) as worker:
            clients = [worker.connect().get("/wait")]
            assert inside.acquire(timeout=60)
            clients += [worker.connect().get("/wait") for _ in range(places)]
            eventually(lambda: worker.counters.queued == places)
            for _ in range(3):
                status, head, _ = worker.fetch()
                assert status == 503
                assert "Retry-After: " in head
            assert worker.errors.count("request refused") == 1
            gate.set()
            assert {client.response()[0] for client in clients} == {200}
            eventually(lambda: worker.fetch()[0] == 200)  # a thread comes back after its answer
            for client in clients:
                client.sock.close()


class TestAsManyConnectionsAsMayBe:
    def test_idle_ones_go_for_new_ones(self, monkeypatch):
        monkeypatch.setattr(crowding, "POLITE", SECOND // 5)
        with running(app, limits=Limits(connections=4)) as worker:
            idle = [worker.connect() for _ in range(4)]
            for client in idle:
                assert client.get().response()[0] == 200
            for _ in range(3):
                assert worker.fetch()[0] == 200
            assert idle[0].rest() == b""
            assert "no more connections" in worker.errors
            for client in idle:
                client.sock.close()

    def test_so_do_those_that_never_spoke(self, monkeypatch):
        monkeypatch.setattr(crowding, "POLITE", SECOND // 5)
        with running(app, limits=Limits(connections=4)) as worker:
            silent = [worker.connect() for _ in range(10)]
            assert worker.fetch()[0] == 200
            for client in silent:
                client.sock.close()

    def test_those_that_are_not_idle_stay(self, monkeypatch):
        with running(app, limits=Limits(connections=2)) as worker, worker.connect() as head:
            head.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
            connections = worker.loop._connections.open
            with worker.connect() as body, worker.connect() as third:
                body.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\no")
                eventually(lambda: {each.state for each in connections.values()} == {State.HEAD, State.BODY})
                monkeypatch.setattr(crowding, "POLITE", 0)
                third.get()
                assert body.send(b"k").response()[2] == b"ok"
                assert third.response()[0] == 200
                assert head.send(b"\r\n").response()[0] == 200

    def test_one_is_enough_for_one_after_another(self):
        """Room that comes between the look and the leave is not overlooked."""
        with running(app, limits=Limits(connections=1)) as worker:
            for _ in range(200):
                with worker.connect() as client:
                    client.get("/", "Connection: close")
                    assert client.rest().endswith(b"hello")


def introduce(client, address):
    """As a proxy does, by version 1 of the PROXY protocol."""
    return client.send(f"PROXY TCP4 {address} 192.0.2.99 40000 80\r\n".encode())


class TestConnectionsOfOneClient:
    def test_too_many_are_a_429(self):
        limits = Limits(per_address=2)
        with running(app, limits=limits, peers=Proxy(trusted=())) as worker:
            with worker.connect() as first, worker.connect() as second:
                assert first.get().response()[0] == second.get().response()[0] == 200
                for _ in range(3):
                    with worker.connect() as third:
                        status, head, _ = third.get().response()
                        assert status == 429
                        assert "Retry-After: " in head
                        assert third.rest() == b""
                assert first.get().response()[0] == second.get().response()[0] == 200
            assert worker.errors.count("too many connections of one client") == 1
            eventually(lambda: worker.counters.connections == 0)
            assert worker.fetch()[0] == 200

    def test_those_that_were_refused_keep_nobody_out(self, monkeypatch):
        """They are heard out, but only while there is room for others."""
        monkeypatch.setattr(states, "LINGER", 3600 * SECOND)
        limits = Limits(per_address=1, connections=4)
        with running(app, limits=limits, peers=Proxy(trusted=())) as worker, worker.connect() as first:
            assert first.get().response()[0] == 200
            crowd = [worker.connect() for _ in range(20)]
            for client in crowd:
                assert client.response()[0] == 429
            assert first.get().response()[0] == 200
            for client in crowd:
                client.sock.close()

    def test_those_of_a_trusted_proxy_are_not_counted(self):
        with running(app, limits=Limits(per_address=1)) as worker:
            self.check_two(worker)

    def test_those_on_a_unix_socket_are_not_counted(self):
        with running(app, unix=True, limits=Limits(per_address=1), peers=Proxy(trusted=())) as worker:
            self.check_two(worker)

    def test_those_that_a_proxy_introduces_are_their_clients(self):
        """By the PROXY protocol; the proxy's own, such as health checks, are not counted."""
        limits = Limits(per_address=1)
        with running(app, limits=limits, peers=Proxy(protocol=True)) as worker:
            with worker.connect() as one, worker.connect() as other, worker.connect() as again:
                introduce(one, "192.0.2.1").get()
                introduce(other, "192.0.2.2").get()
                assert one.response()[0] == other.response()[0] == 200
                introduce(again, "192.0.2.1").get()
                assert again.response()[0] == 429
            eventually(lambda: worker.counters.connections == 0)
            with worker.connect() as again:
                assert introduce(again, "192.0.2.1").get().response()[0] == 200

    def check_two(self, worker):
        with worker.connect() as first, worker.connect() as second:
            assert first.get().response()[0] == second.get().response()[0] == 200

    def test_are_counted_out_as_often_as_in(self):
        addresses = Addresses(2)
        assert [addresses.enter("a") for _ in range(3)] == [True, True, False]
        assert addresses.enter("b")
        addresses.leave("a")
        assert addresses.enter("a")
        for client in "aab":
            addresses.leave(client)
        assert addresses._open == {}

    @pytest.mark.parametrize(
        ("address", "client"),
        [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:0db8:0001:0002::/64"),
            ("2001:db8:1:2::1", "2001:0db8:0001:0002::/64"),
            ("fe80::1%eth0", "fe80:0000:0000:0000::/64"),
            ("", ""),
        ],
    )
    def test_a_client_is_an_address_or_a_network_of_ipv6(self, address, client):
        assert client_of(address) == client


class FailsOnce:
    """A lock that cannot be acquired the first time."""

    def __init__(self, lock):
        self.lock = lock
        self.failed = False

    def acquire(self, blocking):
        if not self.failed:
            self.failed = True
            raise RuntimeError("in the poller")
        return self.lock.acquire(blocking)

    def release(self):
        self.lock.release()


def test_an_error_amid_a_batch_of_events_costs_one_connection():
    """The others' events come only once."""
    with running(app, threads=1) as worker, worker.connect() as holder:
        holder.get("/wait")
        assert inside.acquire(timeout=60)
        clients = [worker.connect() for _ in range(8)]
        eventually(lambda: worker.counters.connections == 9)
        connections = worker.loop._connections.open
        latest = connections[max(connections)]
        latest.owner = FailsOnce(latest.owner)
        for client in clients:
            client.get()
        eventually(lambda: worker.counters.queued == 8)
        gate.set()
        for client in clients:
            assert client.response()[0] == 200
            client.sock.close()
        assert "in the poller" in worker.errors
