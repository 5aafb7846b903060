"""A queue with a lane for each kind: what comes in comes out once, in the order of its policy."""

from __future__ import annotations

import threading

import pytest

from superwsgi.worker.connection.alarm import NEVER, SECOND
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.storage import Bulk
from superwsgi.worker.queue.expectations import KINDS
from superwsgi.worker.queue.queue import RequestQueue
from tests.worker.queue.waiting import Waiting, request

MS = SECOND // 1000
NOW = 1000 * SECOND
QUICK, SLOW = MS // 5, 160 * MS
THREADS = 4


@pytest.fixture
def waiting():
    with Waiting() as waiting:
        yield waiting


@pytest.fixture
def bulk():
    return Bulk(THREADS)


@pytest.fixture(params=["fair", "fifo"])
def either(request, bulk):
    return RequestQueue(request.param, THREADS, bulk)


@pytest.fixture
def queue(bulk):
    """A fair one, which knows two pages, and that threads lack."""
    queue = RequestQueue("fair", THREADS, bulk)
    queue.learn(request("/quick"), QUICK, NOW - 60 * SECOND)
    queue.learn(request("/slow"), SLOW, NOW - 60 * SECOND)
    queue.lack(NOW)
    return queue


def put(queue: RequestQueue, waiting: Waiting, *paths: str, now: int = NOW) -> list[Connection]:
    """One for each path, which come 1 ns apart."""
    connections = [waiting.connection(path) for path in paths]
    for late, connection in enumerate(connections):
        queue.put(connection, now + late)
    return connections


def drain(queue: RequestQueue, now: int = NOW + SECOND) -> list[Connection]:
    """All of it, with threads enough and a second between two."""
    taken = []
    while (connection := queue.take(False, now)) is not None:
        taken.append(connection)
        now += SECOND
    return taken


class TestOrder:
    def test_an_empty_queue_has_none(self, either):
        assert either.take(False, NOW) is None
        assert (either.size, either.since, either.look_at) == (0, 0, NEVER)

    def test_within_a_kind_it_is_that_of_arrival(self, either, waiting):
        connections = put(either, waiting, *["/orders/1", "/orders/2", "/orders/3"] * 3)
        assert drain(either) == connections

    def test_fifo_knows_no_kinds(self, bulk, waiting):
        queue = RequestQueue("fifo", THREADS, bulk)
        queue.learn(request("/slow"), SLOW, NOW)
        queue.learn(request("/quick"), QUICK, NOW)
        connections = put(queue, waiting, "/slow", "/quick", "/slow", "/new", "/quick")
        assert [queue.take(True, NOW + 5) for _ in connections] == connections

    def test_quick_ones_pass(self, queue, waiting):
        slow, *quick = put(queue, waiting, "/slow", "/quick", "/quick")
        assert [queue.take(False, NOW + 5) for _ in quick] == quick
        assert queue.take(False, NOW + 5) is slow

    def test_a_slow_one_that_waits_says_until_when(self, queue, waiting):
        (slow,) = put(queue, waiting, "/slow")
        put(queue, waiting, "/quick")
        queue.take(False, NOW + 5)
        assert queue.take(True, NOW + 5) is None
        assert queue.look_at == NOW + 5 + SLOW // 16
        assert queue.take(True, queue.look_at) is slow

    def test_slow_ones_are_apart_if_quick_ones_came(self, queue, waiting):
        first, second, quick = put(queue, waiting, "/slow", "/slow", "/quick")
        assert queue.take(False, NOW + 5) is quick
        begins = NOW + 5 + SLOW // 16
        assert queue.take(False, begins) is first
        assert queue.take(False, begins) is None
        assert queue.look_at == begins + SLOW // 16
        assert queue.take(False, queue.look_at) is second

    def test_and_not_otherwise(self, queue, waiting):
        connections = put(queue, waiting, *["/slow"] * 5)
        assert [queue.take(True, NOW + 5) for _ in connections] == connections

    def test_unknown_ones_pass_slow_ones_and_not_quick_ones(self, queue, waiting):
        for _ in range(200):
            queue.learn(request("/slow"), SLOW, NOW)
            queue.learn(request("/quick"), QUICK, NOW)
        slow, new, quick = put(queue, waiting, "/slow", "/new", "/quick")
        assert [queue.take(False, NOW + 5) for _ in range(3)] == [quick, new, None]
        assert queue.take(False, NOW + SECOND) is slow


class TestWhatItSays:
    def test_how_many_wait_and_since_when(self, either, waiting):
        put(either, waiting, "/a", "/b", "/a")
        assert (either.size, either.since) == (3, NOW)
        taken = [either.take(False, NOW + SECOND) for _ in range(2)]
        assert (either.size, either.since) == (1, NOW + 2)
        assert None not in taken
        either.take(False, NOW + SECOND)
        assert (either.size, either.since) == (0, 0)

    def test_that_a_thread_has_lacked_lately(self, bulk):
        fair, fifo = RequestQueue("fair", 1, bulk), RequestQueue("fifo", 1, bulk)
        for queue in (fair, fifo):
            queue.lack(NOW)
        assert (fair.tight_until, fifo.tight_until) == (NOW + SECOND, 0)


class TestRemoving:
    @pytest.mark.parametrize("place", range(4))
    def test_one_from_anywhere(self, either, waiting, place):
        connections = put(either, waiting, "/a", "/a", "/a", "/b")
        gone = connections.pop(place)
        assert either.remove(gone)
        assert not either.remove(gone)
        assert (either.size, either.since) == (3, NOW + (place == 0))
        assert drain(either) == connections

    def test_one_that_was_taken(self, either, waiting):
        (connection,) = put(either, waiting, "/a")
        either.take(False, NOW)
        assert not either.remove(connection)
        assert either.size == 0

    def test_one_behind_changes_nothing_for_the_first(self, queue, waiting):
        """It has let others pass for a while already."""
        slow, behind, _ = put(queue, waiting, "/slow", "/slow", "/quick")
        queue.take(False, NOW + 5)
        assert queue.remove(behind)
        assert queue.take(True, NOW + 5 + SLOW // 16) is slow

    def test_the_first_leaves_its_place_to_the_next_which_lets_others_pass_too(self, queue, waiting):
        first, second, quick, late = put(queue, waiting, "/slow", "/slow", "/quick", "/quick")
        assert queue.take(False, NOW + 5) is quick
        assert queue.remove(first)
        assert queue.take(False, NOW + 5 + SLOW // 16) is late
        assert queue.take(False, NOW + 5 + SLOW // 8) is second


class TestWhileResponsesFillFiles:
    @pytest.fixture(autouse=True)
    def _crowded(self, bulk):
        for response in range(THREADS):
            bulk.begin(response)
        bulk.known["GET /report/*"] = NOW + 10 * SECOND

    def test_those_that_will_do_the_same_wait(self, either, waiting, bulk):
        report, other = put(either, waiting, "/report/1", "/other")
        assert either.take(False, NOW + 5) is other
        assert either.take(False, NOW + 5) is None
        assert (either.size, either.look_at) == (1, NEVER)
        for response in range(THREADS):
            bulk.end(response, "GET /other", False, NOW + 5)
        assert either.take(False, NOW + SECOND) is report

    def test_but_no_longer_than_that_is_believed(self, either, waiting):
        (report,) = put(either, waiting, "/report/1")
        assert either.take(False, NOW + 10 * SECOND - 1) is None
        assert either.take(False, NOW + 10 * SECOND) is report

    def test_and_what_waits_for_that_does_not_stand(self, waiting, bulk):
        """Nothing is late for want of a thread, so nobody is refused."""
        queue = RequestQueue("fair", THREADS, bulk, age=MS)
        reports = put(queue, waiting, *["/report/1"] * 5)
        for ms in range(0, 100, 2):
            put(queue, waiting, "/report/1", now=NOW + ms * MS)
            assert queue.take(False, NOW + ms * MS) is None
        for response in range(THREADS):
            bulk.end(response, "GET /other", False, NOW + 5)
        assert [queue.take(False, NOW + 100 * MS) for _ in reports] == reports
        assert (queue.sheds_until, queue.late, len(queue.refused)) == (0, False, 0)

    def test_even_if_too_many_kinds_are_known_and_others_go_on(self, either, waiting):
        fill(either, waiting)
        report, other = put(either, waiting, "/report/1", "/other")
        assert either.take(False, NOW + 5) is other
        assert either.take(False, NOW + 5) is None
        assert either.remove(report)


def fill(queue: RequestQueue, waiting: Waiting) -> None:
    """With as many kinds as are told apart."""
    for one in range(26):
        put(queue, waiting, *[f"/{chr(97 + one)}/{chr(97 + other)}" for other in range(KINDS // 26 + 1)])
    while queue.take(False, NOW + SECOND) is not None:
        pass


def test_threads_that_race_lose_none_and_take_none_twice(either, waiting):
    batches = [[waiting.connection(f"/{path}") for path in "abcdefgh" * 25] for _ in range(3)]
    out: list[list[Connection]] = [[] for _ in range(5)]
    done = threading.Event()

    def bring(batch: list[Connection]) -> None:
        for connection in batch:
            either.put(connection, NOW)

    def take(mine: list[Connection]) -> None:
        while not (done.is_set() and either.size == 0):
            if (connection := either.take(False, NOW + SECOND)) is not None:
                mine.append(connection)

    def remove(mine: list[Connection]) -> None:
        mine += [connection for batch in batches for connection in batch if either.remove(connection)]

    bringing = [threading.Thread(target=bring, args=(batch,)) for batch in batches]
    others = [threading.Thread(target=take, args=(mine,)) for mine in out[:3]]
    others += [threading.Thread(target=remove, args=(mine,)) for mine in out[3:]]
    for thread in bringing + others:
        thread.start()
    for thread in bringing:
        thread.join()
    done.set()
    for thread in others:
        thread.join()
    taken = [connection for mine in out for connection in mine]
    assert len(taken) == len(set(taken)) == sum(map(len, batches))
    assert (either.size, either.since, either._lanes) == (0, 0, {})
