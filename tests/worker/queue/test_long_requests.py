"""Slow requests wait for others while threads lack, and no longer: one of ten minutes does not wait long."""

from __future__ import annotations

import time

import pytest

from superwsgi.worker.connection.alarm import SECOND
from superwsgi.worker.queue.fairness import LONGEST, Head, gap_before, while_of
from superwsgi.worker.queue.queue import RequestQueue
from tests.worker.parts import GET, Parts

STREAM = b"GET /events HTTP/1.1\r\nHost: test\r\n\r\n"
MINUTES = 600 * SECOND


@pytest.mark.parametrize("threads", [1, 8, 32])
def test_what_takes_minutes_lets_others_pass_for_seconds(threads: int) -> None:
    head = Head(MINUTES, 0)
    assert while_of(head, threads) == LONGEST
    assert gap_before(head, threads) == LONGEST


def test_with_threads_to_spare_it_runs_a_second_after_they_lacked() -> None:
    now = time.monotonic_ns()
    with Parts(threads=8) as parts:
        queue = parts.connections.queue
        put(parts, queue, GET, SECOND // 100, now)
        for _ in range(2):
            put(parts, queue, STREAM, MINUTES, now)
        queue.lack(now)
        assert [queue.take(False, now) is not None for _ in range(3)] == [True, True, False]
        assert queue.look_at == queue.tight_until < now + LONGEST
        assert queue.take(False, queue.look_at) is not None


def put(parts: Parts, queue: RequestQueue, request: bytes, took: int, now: int) -> None:
    """A request whose kind is known to take so long."""
    connection = parts.peer().connection
    connection.parser.feed(request)
    queue.learn(connection.parser.requests[0], took, now)
    queue.put(connection, now)
