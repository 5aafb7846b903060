"""Requests that could not be answered in time: refused, on a connection that goes on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from superwsgi.config.sections import Limits
from superwsgi.worker.queue import shed_log
from tests.fixtureapps.wsgi_paths import app, gate, inside
from tests.worker.running import Client, Running, eventually, running

AGE = 0.1


@contextlib.contextmanager
def overloaded(**more: str) -> Iterator[tuple[Running, list[Client]]]:
    """A worker whose only thread is taken, while more wait than can be answered in time; and its clients."""
    with (
        running(app, threads=1, limits=Limits(queue_age=AGE), **more) as worker,
        contextlib.ExitStack() as stack,
    ):
        clients = [stack.enter_context(worker.connect()).get("/wait")]
        assert inside.acquire(timeout=60)
        began = time.monotonic()

        def one_more() -> bool:
            clients.append(stack.enter_context(worker.connect()).get("/wait"))
            time.sleep(AGE / 4)
            return worker.counters.counts.shed > 0

        eventually(one_more)
        assert time.monotonic() - began > 2 * AGE
        yield worker, clients
        gate.set()


def refused(client: Client) -> str:
    status, head, _ = client.response()
    assert status == 503
    return head


class TestARefusedRequest:
    @pytest.mark.parametrize(
        ("version", "fields", "closes"),
        [("1.1", (), False), ("1.1", ("Connection: close",), True), ("1.0", (), True)],
    )
    def test_keeps_its_connection_if_its_client_wants_that(self, version, fields, closes):
        with overloaded() as (worker, _), worker.connect() as client:
            head = refused(client.get("/wait", *fields, version=version))
            assert ("Connection: close" in head) == closes
            assert 1 <= int(head.split("Retry-After: ")[1].split()[0]) <= 60
            if closes:
                assert client.rest() == b""
            else:
                refused(client.get("/wait"))

    def test_and_the_next_one_is_answered(self):
        with overloaded() as (worker, _), worker.connect() as client:
            refused(client.get("/wait"))
            gate.set()
            assert client.get("/").response()[0] == 200

    def test_those_behind_it_on_its_connection_follow(self):
        with overloaded() as (worker, _), worker.connect() as client:
            client.send(b"GET /wait HTTP/1.1\r\nHost: test\r\n\r\n" * 3)
            for _ in range(3):
                refused(client)

    def test_is_counted_and_in_the_access_log(self):
        with overloaded(format="json") as (worker, _), worker.connect() as client:
            before = worker.counters.counts
            refused(client.get("/wait"))
            eventually(lambda: worker.counters.counts.shed > before.shed)
            eventually(lambda: worker.counters.counts.shed == worker.counters.counts.failures)
            eventually(lambda: '"status":503' in worker.access_file.read_text())


def test_the_first_in_line_stays_and_is_served():
    with overloaded() as (_, clients):
        gate.set()
        statuses = [client.response()[0] for client in clients]
        assert statuses[0] == 200
        assert 200 in statuses[1:]
        assert 503 in statuses


def test_the_log_says_which_and_when_it_is_over(monkeypatch):
    monkeypatch.setattr(shed_log, "SETTLES", 1)
    monkeypatch.setattr(shed_log, "CALM", 1)
    with overloaded() as (worker, _):
        eventually(lambda: "requests shed" in worker.errors)
        assert 'kinds="GET /wait 100 %"' in worker.errors
        assert 'limit="limits.queue_age 100ms"' in worker.errors
        eventually(lambda: "requests no longer shed" in worker.errors)


def compute(environ, start_response):
    """For three milliseconds: too short for the thread to be relieved of the baton."""
    until = time.thread_time() + 0.003
    while time.thread_time() < until:
        pass
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def test_so_are_those_that_are_run_one_after_another_although_threads_are_free():
    """They wait in the kernel until they are read, which is part of their time."""
    with running(compute, threads=4, limits=Limits(queue_age=AGE)) as worker, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(worker.connect()) for _ in range(250)]
        for client in clients:
            client.get("/")
        statuses = [client.response()[0] for client in clients]
        assert set(statuses) == {200, 503}
        assert clients[0].get("/").response()[0] == 200


def test_further_workers_are_waited_for():
    with overloaded() as (worker, _), worker.connect() as client:
        worker.loop.may_grow(True)
        client.get("/wait")
        queued = worker.counters.queued
        eventually(lambda: worker.counters.queued > queued or worker.counters.queued > 0)
        gate.set()
        assert client.response()[0] == 200


def test_off_lets_all_wait():
    with running(app, threads=1, limits=Limits(queue_age=0)) as worker, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(worker.connect()).get("/wait")]
        assert inside.acquire(timeout=60)
        clients += [stack.enter_context(worker.connect()).get("/wait") for _ in range(20)]
        eventually(lambda: worker.counters.queued == 20)
        gate.set()
        assert {client.response()[0] for client in clients} == {200}
