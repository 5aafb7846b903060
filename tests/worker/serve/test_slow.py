"""Requests that take long: when the log tells of them, and how many lines there are if there are many."""

from __future__ import annotations

import re

import pytest

from superwsgi.worker.connection.alarm import SECOND
from superwsgi.worker.serve.overdue.slow import MOST, WHILE
from tests.fixtureapps.wsgi_paths import app, gate, inside
from tests.worker.parts import Parts
from tests.worker.running import eventually, running

NOW = 1_000 * SECOND


@pytest.fixture
def parts():
    with Parts(threads=MOST + 10, slow=5, request=60) as parts:
        parts.connections.now = NOW
        yield parts


def in_application(parts, number=1):
    """A request that began at NOW, in the hands of that thread."""
    return parts.run(parts.peer().connection, NOW, NOW + 5 * SECOND, number)


def told(parts):
    return re.findall(r"slow request .*?seconds=(\S+)", parts.errors)


def look(parts, *seconds):
    """At these times after NOW; returns after how many seconds to look again."""
    for each in seconds:
        soonest = parts.deadlines.look(NOW + int(each * SECOND))
    return (soonest - NOW) / SECOND


class TestOneRequest:
    def test_is_told_of_three_times(self, parts):
        in_application(parts)
        assert look(parts, 4) == 5
        assert look(parts, 5) == 10
        assert look(parts, 7, 10) == 20
        assert look(parts, 15, 20) == 60
        look(parts, 40, 59)
        assert told(parts) == ["5", "10", "20"]

    def test_once_where_nobody_looked_for_long(self, parts):
        in_application(parts)
        assert look(parts, 30) == 60
        assert told(parts) == ["30"]

    def test_not_after_the_deadline(self, parts):
        in_application(parts)
        look(parts, 61)
        assert told(parts) == []
        assert "request stuck" in parts.errors

    def test_the_next_one_of_the_same_thread_is_another(self, parts):
        thread = in_application(parts)
        look(parts, 5)
        thread.connection.exchange.began = NOW + 6 * SECOND
        thread.deadline = NOW + 11 * SECOND
        look(parts, 11)
        assert told(parts) == ["5", "5"]

    def test_is_not_slow_while_it_sends(self, parts):
        thread = in_application(parts)
        for second in range(4, 40, 4):
            thread.connection.sender.spoke = NOW + second * SECOND
            look(parts, second + 1)
        assert told(parts) == []

    def test_one_that_has_sent_something_says_how_long_it_is_silent(self, parts):
        thread = in_application(parts)
        thread.connection.sender.spoke = NOW + 3 * SECOND
        look(parts, 8)
        assert "seconds=8 silent=5 " in parts.errors

    def test_that_waits_for_its_client_is_not_slow(self, parts):
        thread = in_application(parts)
        thread.connection.sender.outbox.size = 1 << 40
        look(parts, 5, 10, 20)
        assert told(parts) == []
        thread.connection.sender.outbox.size = 0
        assert look(parts, 24) == 25
        look(parts, 25)
        assert told(parts) == ["25"]


def test_none_is_told_of_if_that_is_off():
    with Parts(slow=0, request=60) as parts:
        in_application(parts)
        assert look(parts, 30) == 60
        assert told(parts) == []


class TestMany:
    @pytest.fixture
    def many(self, parts):
        for number in range(1, MOST + 8):
            in_application(parts, number)

    def test_the_rest_is_counted(self, parts, many):
        assert look(parts, 5) == 10
        assert len(told(parts)) == MOST
        look(parts, 6, 9)
        assert "times=" not in parts.errors
        look(parts, 5 + WHILE / SECOND)
        assert 'slow requests times=7 of="GET / 7" ' in parts.errors

    def test_also_at_the_end(self, parts, many):
        look(parts, 5)
        parts.deadlines.end()
        assert 'slow requests times=7 of="GET / 7" ' in parts.errors


class TestInAThread:
    def test_its_stack_begins_in_the_application(self):
        with running(app, slow=0.2) as worker, worker.connect() as client:
            client.get("/wait", "X-Request-ID: me")
            assert inside.acquire(timeout=60)
            eventually(lambda: len(re.findall("slow request ", worker.errors)) == 3)
            gate.set()
            assert client.response()[0] == 200
            line, first, *_ = worker.errors.splitlines()
            assert re.search(r"warning +slow request request=\S+ method=GET target=/wait seconds=0\.\d", line)
            assert 'next="ended after 1m00s of silence (timeouts.request)"' in line
            assert re.match(r'    +File ".*/wsgi_paths\.py", line \d+, in ', first)

    def test_equal_stacks_are_written_once(self):
        with running(app, slow=0.2, threads=3) as worker:
            clients = [worker.connect().get("/wait") for _ in range(3)]
            eventually(lambda: len(re.findall("slow request ", worker.errors)) == 9)
            gate.set()
            for client in clients:
                assert client.response()[0] == 200
                client.sock.close()
            said = re.findall(r"slow request request=(\S+).*?( stack=.*?)? next=", worker.errors)
            first = said[0][0]
            assert len({each for each, _ in said}) == 3
            assert {how for each, how in said if each != first} == {f' stack="as of request {first}"'}
            assert {how for each, how in said if each == first} == {""}
