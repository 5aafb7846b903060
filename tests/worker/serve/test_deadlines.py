"""Slow clients, slow applications, and the end."""

from __future__ import annotations

import re
import threading

import pytest

from tests.fixtureapps.wsgi_paths import app, gate, inside
from tests.worker.running import eventually, running


def test_a_head_that_does_not_end():
    with running(app, head=0.2) as worker, worker.connect() as client:
        assert client.send(b"GET / HT").response()[0] == 408


def test_an_unfinished_request_for_a_head_is_answered_by_one():
    with running(app, head=0.1) as worker, worker.connect() as client:
        head, _, body = client.send(b"HEAD / HT").rest().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert body == b""


def test_a_connection_that_says_nothing_is_closed_silently():
    with running(app, head=0.2) as worker, worker.connect() as client:
        assert client.rest() == b""


def test_an_idle_connection_is_closed_silently():
    with running(app, keepalive=0.2) as worker, worker.connect() as client:
        assert client.get().response()[0] == 200
        assert client.rest() == b""


def test_a_body_that_comes_too_slowly():
    with running(app, body=0.2) as worker, worker.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
        assert client.response()[0] == 408


def test_a_large_body_may_take_longer_than_the_deadline_if_it_comes_fast_enough():
    with running(app, body=0.2) as worker, worker.connect() as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(20):
            client.send(b"x" * 5000)
            worker.fetch()
            inside.acquire(timeout=0.03)
        assert client.response()[0] == 200


def test_clients_that_trickle_hold_no_thread():
    with running(app, threads=1) as worker:
        slow = [worker.connect().send(b"GET / HTTP/1.1\r\nHo") for _ in range(30)]
        slow += [
            worker.connect().send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
            for _ in range(30)
        ]
        eventually(lambda: worker.counters.connections == 60)
        for _ in range(5):
            assert worker.fetch()[0] == 200
        for client in slow:
            client.sock.close()
        eventually(lambda: worker.counters.connections == 0)


def test_a_client_that_stops_reading_is_cut_off():
    with running(app, send=0.3) as worker, worker.connect() as client:
        client.get("/big")
        client.until(b"\r\n\r\n")
        eventually(lambda: worker.counters.connections == 0)


def test_waiting_for_a_thread_has_an_end():
    with running(app, threads=1, queue=0.2) as worker, worker.connect() as holder:
        holder.get("/wait")
        assert inside.acquire(timeout=60)
        status, head, _ = worker.fetch()
        assert status == 503
        assert "Retry-After: " in head
        gate.set()
        assert holder.response()[0] == 200


class TestAStuckRequest:
    def test_its_client_gets_a_504_and_the_others_are_served(self):
        with running(app, threads=1, request=0.3) as worker:
            with worker.connect() as client:
                status, head, _ = client.get("/wait").response()
                assert status == 504
                assert "Connection: close" in head
            assert worker.fetch()[0] == 200
            assert re.search(r'request stuck .* next="thread replaced"\n +File', worker.errors)
            assert "gate.wait" in worker.errors
            assert worker.counters.counts.failures == 1
            gate.set()
            assert worker.fetch()[0] == 200

    def test_the_one_thread_beside_it_is_not_alone_until_it_ends(self):
        """`wsgi.multithread` of PEP 3333."""
        hangs = threading.Event()

        def tells(environ, start_response):
            if environ["PATH_INFO"] == "/hangs":
                hangs.wait(20)
            start_response("200 OK", [])
            return [str(environ["wsgi.multithread"]).encode()]

        with running(tells, threads=1, request=0.3) as worker:
            assert worker.fetch()[2] == b"False"
            assert worker.fetch("/hangs")[0] == 504
            assert worker.fetch()[2] == b"True"
            hangs.set()
            eventually(lambda: worker.fetch()[2] == b"False")

    def test_recycling_is_asked_for_when_its_thread_does_not_come_back(self):
        with running(app, threads=1, request=0.2) as worker:
            assert worker.fetch("/wait")[0] == 504
            (why,) = eventually(lambda: worker.recycled)
            assert why.reason.startswith("a stuck thread does not come back: GET /wait ")
            assert (why.stuck.method, why.stuck.target) == ("GET", "/wait")
            assert why.stuck.seconds >= 0.4

    def test_it_is_asked_for_at_once_when_its_thread_computes(self):
        ends = threading.Event()

        def loops(environ, start_response):
            while not ends.is_set():
                pass
            start_response("200 OK", [])
            return [b""]

        with running(loops, threads=1, request=2) as worker:
            assert worker.fetch("/loop?x=1")[0] == 504
            (why,) = eventually(lambda: worker.recycled)
            ends.set()
            assert why.stuck.target == "/loop?x=1"
            assert why.reason.startswith("a stuck thread goes on computing: GET /loop ")

    def test_a_thread_that_comes_back_is_no_reason_to_recycle(self):
        with running(app, threads=1, request=0.5) as worker:
            assert worker.fetch("/wait")[0] == 504
            gate.set()
            for _ in range(12):
                worker.fetch("/wait")
                inside.acquire(timeout=0.1)
            assert worker.recycled == []

    def test_a_response_that_has_begun_is_broken_off(self):
        with running(app, threads=1, request=0.3) as worker, worker.connect() as client:
            client.get("/piece")
            assert client.rest().endswith(b"5\r\nfirst\r\n")
            assert worker.fetch()[0] == 200

    def test_all_threads_at_once(self):
        with running(app, threads=4, request=0.4) as worker:
            clients = [worker.connect().get("/wait") for _ in range(4)]
            assert [client.response()[0] for client in clients] == [504] * 4
            assert worker.fetch()[0] == 200
            for client in clients:
                client.sock.close()


class TestDrain:
    def test_an_idle_connection_may_send_one_more_request(self):
        with running(app, linger=20) as worker, worker.connect() as client:
            client.get().response()
            worker.loop.drain(lame_duck=0)
            eventually(lambda: not worker.counters.accepting)
            status, head, _ = client.get().response()
            assert status == 200
            assert "Connection: close" in head
            assert client.rest() == b""
            assert worker.loop.join(60)

    def test_an_idle_connection_is_closed_after_a_while(self):
        with running(app, linger=0.2) as worker, worker.connect() as client:
            client.get().response()
            worker.loop.drain(lame_duck=0)
            assert client.rest() == b""
            assert worker.loop.join(60)

    def test_what_is_in_hand_is_answered(self):
        with running(app, threads=1, linger=0.1) as worker:
            with worker.connect() as running_one, worker.connect() as queued, worker.connect() as partial:
                running_one.get("/wait")
                queued.get("/wait")
                partial.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\no")
                eventually(lambda: worker.counters.queued == 1 and worker.counters.connections == 3)
                worker.loop.drain(lame_duck=0)
                eventually(lambda: not worker.counters.accepting)
                gate.set()
                partial.send(b"k")
                for client in (running_one, queued, partial):
                    status, head, _ = client.response()
                    assert status == 200
                    assert "Connection: close" in head
            assert worker.loop.join(60)

    def test_pipelined_requests_are_all_answered(self):
        with running(app, threads=1) as worker, worker.connect() as client:
            client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
            assert inside.acquire(timeout=60)
            worker.loop.drain(lame_duck=0)
            eventually(lambda: not worker.counters.accepting)
            gate.set()
            heads = [client.response()[1] for _ in range(3)]
            assert ["Connection: close" in head for head in heads] == [False, False, True]

    def test_what_the_kernel_has_accepted_is_served(self):
        with running(app, linger=5) as worker:
            clients = [worker.connect() for _ in range(20)]
            worker.loop.drain(lame_duck=0)
            for client in clients:
                assert client.get().response()[0] == 200
                client.sock.close()
            assert worker.loop.join(60)

    def test_everything_goes_on_while_it_is_a_lame_duck(self):
        with running(app) as worker:
            worker.loop.drain(lame_duck=0.5)
            status, head, _ = worker.fetch()
            assert status == 200
            assert "Connection" not in head
            assert worker.loop.join(60)

    def test_twice_is_as_good_as_once(self):
        with running(app) as worker:
            worker.loop.drain(lame_duck=0)
            worker.loop.drain(lame_duck=100)
            assert worker.loop.join(60)


@pytest.fixture(params=["all threads", "one thread"])
def begin(request, monkeypatch):
    """Has the threads begin that have not: those for whom `stop` came too early."""
    begun, run = threading.Event(), threading.Thread.run

    def late(thread):
        assert thread.name not in ("thread-1", "thread-2") or begun.wait(20)
        run(thread)

    if request.param == "one thread":
        monkeypatch.setattr(threading.Thread, "run", late)
    return begun.set


def test_stop_waits_for_nobody(begin):
    with running(app) as worker, worker.connect() as client:
        client.get("/wait")
        assert inside.acquire(timeout=60)
        worker.loop.stop()
        begin()
        assert worker.loop.join(60)
        assert client.rest() == b""
