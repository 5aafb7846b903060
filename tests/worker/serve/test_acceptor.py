"""Which worker takes a connection, and when it leaves and comes back."""

from __future__ import annotations

import socket

import pytest

from superwsgi.config.sections import Limits
from superwsgi.worker.connection.alarm import NEVER
from superwsgi.worker.serve.acceptor import (
    BUSY_PAUSE,
    FULL_PAUSE,
    PAUSE,
    RESERVED,
    Broken,
    better_placed,
    beyond_share,
    over_share,
)
from tests.worker.parts import Parts

NOW = 1_000_000_000


@pytest.mark.parametrize(
    ("own", "peers", "over"),
    [
        (5, [], False),
        (1, [(0, 8)], False),
        (2, [(0, 8)], True),
        (2, [(0, 0)], False),
        (54, [(50, 8), (60, 8)], False),
        (55, [(50, 8), (60, 8)], True),
        (9, [(9, 8), (9, 8)], False),
    ],
)
def test_over_share(own, peers, over):
    assert over_share(own, peers) is over


@pytest.mark.parametrize(
    ("own", "peers", "beyond"),
    [
        (8, [(0, 8), (0, 8)], 7),
        (8, [(0, 0)], 0),
        (8, [(7, 8)], 0),
        (200, [(48, 4), (60, 4)], 200 - 52),
        (3, [], 0),
    ],
)
def test_how_many_are_beyond_it(own, peers, beyond):
    assert beyond_share(own, peers) == beyond


@pytest.mark.parametrize("workers", [2, 4, 9])
def test_the_share_of_200_connections(workers):
    """Whoever happens to be asked, each worker at its worst moment."""
    counts = [0] * workers
    for n in range(200):
        asked = n // 7 % workers
        while over_share(counts[asked] + 1, [(c, 8) for w, c in enumerate(counts) if w != asked]):
            asked = (asked + 1) % workers
        counts[asked] += 1
    assert max(counts) / min(counts) <= 1.25


@pytest.mark.parametrize(
    ("free", "peers", "better"),
    [(1, [(0, 8)], False), (0, [(0, 8)], True), (0, [(0, 0)], False), (0, [], False)],
)
def test_better_placed(free, peers, better):
    assert better_placed(free, peers) is better


@pytest.fixture
def parts():
    with Parts(limits=Limits(connections=3)) as parts:
        parts.acceptor.come_back()
        yield parts


def connect(parts, count, listener=None):
    for _ in range(count):
        parts.keep(socket.create_connection((listener or parts.listener).getsockname()))


def accept(parts, listener=None):
    """Take what waits, as if told of it until nothing is left; how many connections that were."""
    before = len(parts.connections.open)
    while accept_once(parts, listener):
        pass
    return len(parts.connections.open) - before


def accept_once(parts, listener=None):
    """Take what waits when told of it once; how many connections that were."""
    before = len(parts.connections.open)
    for accepted in parts.acceptor.accept((listener or parts.listener).fileno(), NOW):
        parts.keep_connection(parts.admission.adopt(*accepted))
    return len(parts.connections.open) - before


def sibling(parts, connections, *, busy=0):
    """Another worker that accepts connections, with so many of them."""
    writer = parts.board.writer(1)
    writer.set("accepting", 1)
    writer.set("connections", connections)
    writer.set("free", 2 - busy)


def is_polled(parts):
    return bool(parts.context.epoll.poll(0))


class TestLeaving:
    def test_it_takes_what_waits(self, parts):
        connect(parts, 2)
        assert accept(parts) == 2
        assert accept(parts) == 0

    def test_it_takes_as_many_as_last_time_and_then_twice_as_many(self):
        with Parts(limits=Limits(connections=100)) as parts:
            parts.acceptor.come_back()
            connect(parts, 8)
            assert [accept_once(parts) for _ in range(5)] == [1, 2, 4, 1, 0]
            connect(parts, 2)
            assert [accept_once(parts) for _ in range(2)] == [1, 1]

    def test_what_is_left_is_told_of_again(self, parts):
        connect(parts, 2)
        assert accept_once(parts) == 1
        assert is_polled(parts)

    def test_with_more_than_its_share_it_leaves_for_a_moment(self, parts):
        sibling(parts, 0)
        connect(parts, 3)
        assert accept(parts) == 2
        assert parts.acceptor.away
        assert not is_polled(parts)
        parts.acceptor.look_again(NOW + PAUSE - 1)
        assert parts.acceptor.away
        parts.acceptor.look_again(NOW + PAUSE)
        assert is_polled(parts)

    def test_away_it_takes_nothing(self, parts):
        parts.acceptor.leave(NEVER)
        connect(parts, 1)
        assert accept(parts) == 0

    def test_without_a_free_thread_it_leaves_to_who_has_one(self, parts):
        parts.pool.permits.clear()
        parts.acceptor.yield_to_peers(NOW)
        assert not parts.acceptor.away
        sibling(parts, 0)
        parts.acceptor.yield_to_peers(NOW)
        assert parts.acceptor.until == NOW + BUSY_PAUSE
        parts.pool.permits.append(None)
        parts.acceptor.freed()
        assert not parts.acceptor.away


class TestAsManyAsMayBe:
    def test_where_none_can_be_closed_it_waits_for_room(self, parts):
        connect(parts, 3)
        accept(parts)
        assert parts.acceptor.away
        assert parts.acceptor.until == NOW + FULL_PAUSE
        assert "no more connections" in parts.errors

    def test_idle_ones_make_room(self, parts):
        connect(parts, 2)
        accept(parts)
        for connection in parts.connections.open.values():
            connection.deadline = 0  # silent for long
            connection.let_go()
        connect(parts, 1)
        accept(parts)
        assert len(parts.connections.open) == 2
        assert not parts.acceptor.away

    def test_new_ones_are_left_to_siblings_with_room(self, parts):
        sibling(parts, 2)
        connect(parts, 3)
        accept(parts)
        assert parts.acceptor.away
        assert parts.errors == ""

    def test_it_comes_back_when_one_is_closed(self, parts):
        connect(parts, 3)
        accept(parts)
        parts.ending.close(next(iter(parts.connections.open.values())))
        assert not parts.acceptor.away


class TestHealthChecks:
    """On addresses of their own."""

    def test_who_has_no_room_takes_them_nevertheless(self, parts):
        connect(parts, 3)
        accept(parts)
        assert parts.acceptor.away
        for _ in range(2):
            connect(parts, 1, parts.for_checks)
            assert is_polled(parts)
            assert accept(parts, parts.for_checks) == 1
        assert parts.acceptor.away

    def test_and_who_leaves_to_peers(self, parts):
        sibling(parts, 0)
        parts.pool.permits.clear()
        parts.acceptor.yield_to_peers(NOW)
        connect(parts, 1, parts.for_checks)
        connect(parts, 1)
        assert (accept(parts), accept(parts, parts.for_checks)) == (0, 1)

    def test_but_not_without_end(self, parts):
        connect(parts, 3 + RESERVED + 5, parts.for_checks)
        assert accept(parts, parts.for_checks) == 3 + RESERVED
        assert not is_polled(parts)
        for connection in [*parts.connections.open.values()][: RESERVED + 1]:
            parts.ending.close(connection)
        assert is_polled(parts)

    def test_nor_without_descriptors(self, parts):
        parts.acceptor.leave(NEVER, wholly=True)
        connect(parts, 1, parts.for_checks)
        assert not is_polled(parts)
        parts.acceptor.come_back()
        assert accept(parts, parts.for_checks) == 1


class TestTheEnd:
    def test_what_the_kernel_has_accepted_is_taken_before_the_listener_goes(self, parts):
        connect(parts, 2)
        taken = [parts.keep_connection(parts.admission.adopt(*each)) for each in parts.acceptor.close()]
        assert len(taken) == 2
        assert parts.listener.fileno() == -1

    def test_a_listener_that_the_application_has_closed_is_the_workers_end(self, parts):
        fd = parts.listener.fileno()
        parts.listener.close()
        with pytest.raises(Broken):
            list(parts.acceptor.accept(fd, NOW))
