"""Requests of a rule that allows so many at once: who waits for that, who passes, and what the queue says."""

from __future__ import annotations

import threading

import pytest

from superwsgi.config.parts.paths import PathRule
from superwsgi.config.schema import Site
from superwsgi.worker.connection.alarm import NEVER, SECOND
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.storage import Bulk
from superwsgi.worker.queue.gates import closed, gates_of
from superwsgi.worker.queue.queue import RequestQueue
from superwsgi.worker.queue.rules import rules_of
from tests.worker.queue.waiting import Waiting

NOW = 1000 * SECOND
SITE = Site(
    apps={"/": "a:b"},
    name="site",
    paths={"/reports": PathRule(threads=2), "/one": PathRule(threads=1), "/orders/7": PathRule(threads=1)},
)


@pytest.fixture
def waiting():
    with Waiting() as waiting:
        yield waiting


@pytest.fixture
def rules():
    return rules_of(SITE)


@pytest.fixture(params=["fair", "fifo"])
def queue(request):
    return RequestQueue(request.param, 8, Bulk(8))


@pytest.fixture
def put(queue, waiting, rules):
    def put(*paths: str, now: int = NOW) -> list[Connection]:
        connections = [waiting.connection(path) for path in paths]
        for late, connection in enumerate(connections):
            asked = connection.parser.requests[0]
            asked.rule = rules.find({"PATH_INFO": asked.target.decode(), "SERVER_NAME": "", "HTTP_HOST": "x"})
            queue.put(connection, now + late)
        return connections

    return put


def gates(connection: Connection):
    return gates_of(connection.parser.requests[0])


def take(queue: RequestQueue, count: int = 1) -> list[Connection | None]:
    return [queue.take(False, NOW + 5 * SECOND) for _ in range(count)]


def test_as_many_begin_as_it_allows_and_others_pass(queue, put):
    first, second, third, other = put("/reports/1", "/reports/2", "/reports/3", "/x")
    assert take(queue, 3) == [first, second, other]
    assert (queue.size, queue.gated, queue.gated_since) == (0, 1, NOW + 2)
    assert queue.gated_at.key == "paths./reports.threads"
    assert take(queue) == [None]
    assert queue.look_at == NEVER
    assert queue.leave(gates(first)) is True
    assert (queue.size, queue.since, queue.gated, queue.gated_at) == (1, NOW + 2, 0, None)
    assert take(queue, 2) == [third, None]


def test_of_those_that_wait_so_many_count_as_could_begin(queue, put):
    """So nothing is started, and nobody is refused, for others of them."""
    put(*["/reports/1"] * 5, "/x", "/x")
    assert (queue.size, queue.gated) == (4, 3)
    take(queue, 2)
    assert (queue.size, queue.gated) == (2, 3)


def test_order_within_a_rule_is_that_of_arrival(queue, put):
    connections = put(*["/one"] * 4)
    for connection in connections:
        assert take(queue, 2) == [connection, None]
        queue.leave(gates(connection))
    assert (queue.size, queue.since, queue.gated, queue.gated_since) == (0, 0, 0, 0)


def test_those_that_do_not_wait_count_too(queue, put):
    waiting_for = put("/one")
    (passed,) = gates(waiting_for[0])
    assert queue.enter((passed,))
    assert not queue.enter((passed,))
    assert (queue.size, queue.gated) == (0, 1)
    assert take(queue) == [None]
    queue.leave((passed,))
    assert take(queue) == waiting_for


def test_a_rule_within_a_kind(queue, put):
    """/orders/7 is of the same kind as /orders/8, and the rule is for the first alone."""
    seven, again, eight = put("/orders/7", "/orders/7", "/orders/8")
    assert take(queue, 3) == [seven, eight, None]
    queue.leave(gates(seven))
    assert take(queue) == [again]


def test_what_may_mean_pages_of_two_rules_waits_for_both(queue, put):
    both, one, report = put("/one/../reports", "/one", "/reports")
    assert take(queue, 3) == [both, report, None]
    queue.leave(gates(both))
    assert take(queue, 2) == [one, None]


def test_one_that_is_held_can_be_taken_out(queue, put):
    first, second, third = put(*["/one"] * 3)
    assert take(queue) == [first]
    assert queue.remove(second)
    assert (queue.size, queue.gated, queue.gated_since) == (0, 1, NOW + 2)
    assert closed(gates(third)).key == "paths./one.threads"
    queue.leave(gates(first))
    assert take(queue) == [third]


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_a_crowded_rule_takes_no_place_from_others(queue, put, waiting, rules, limit):
    running, *gated = put(*["/one"] * (limit + 1))
    take(queue)
    one, other = running.parser.requests[0], waiting.connection("/x").parser.requests[0]
    error = queue.full(one, limit)
    assert "paths./one.threads (1)" in error.reason
    assert "limits.queue" in error.reason
    assert error.status == 503
    assert queue.full(one, limit + 1) is None
    assert (queue.full(other, limit) is None) == (limit > 0)
    put(*["/x"] * limit)
    assert "wait for a thread" in queue.full(other, limit).reason
    assert len(gated) == limit


def test_where_only_a_thread_lacks_the_rule_is_not_blamed(queue, put):
    (only,) = put("/one")
    assert "wait for a thread" in queue.full(only.parser.requests[0], 1).reason
    assert closed(gates(only)) is None


def test_threads_that_race_keep_to_it_and_lose_none(queue, waiting, rules):
    connections = [waiting.connection(path) for path in ["/reports/1", "/one", "/x"] * 100]
    for connection in connections:
        asked = connection.parser.requests[0]
        asked.rule = rules.find({"PATH_INFO": asked.target.decode(), "SERVER_NAME": "", "HTTP_HOST": "x"})
    out: list[Connection] = []
    most: list[int] = []

    def bring():
        for connection in connections:
            queue.put(connection, NOW)

    def work():
        while len(out) < len(connections):
            connection = queue.take(False, NOW + SECOND)
            if connection is None:
                continue
            mine = gates(connection)
            most.extend(gate.running - gate.most for gate in mine)
            out.append(connection)
            if mine:
                queue.leave(mine)

    threads = [threading.Thread(target=bring), *(threading.Thread(target=work) for _ in range(4))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(out) == len(set(out)) == len(connections)
    assert max(most) <= 0
    assert (queue.size, queue.gated, queue._lanes) == (0, 0, {})
