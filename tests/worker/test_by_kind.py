"""What a worker notes of its answers: all failures, and enough of the others to know how many there were."""

import os
import threading
import tracemalloc
from collections import Counter

import pytest

from superwsgi.board.counts import METHODS
from superwsgi.board.kind_table import ROWS, more
from superwsgi.board.path_table import OTHER
from superwsgi.board.scoreboard import Scoreboard
from superwsgi.http.request.head import Request
from superwsgi.worker.by_kind import ByKind

SECOND = 1_000_000_000
PLACES = ROWS - len(METHODS)


@pytest.fixture
def board():
    board = Scoreboard.create(1, 2)
    yield board
    os.close(board.fd)


@pytest.fixture
def by_kind(board):
    return ByKind(board.writer(0).kind_table())


def ask(by_kind, target, status=200, now=0, method="GET"):
    request = Request(method, target, "HTTP/1.1", {})
    request.id = "3f08-17"
    by_kind.count(request, status, now)


def counted(board):
    """(failures, others) by method and group."""
    found = Counter()
    for row in more(b"", board.kind_table(0)):
        if row.failed or row.good:
            found[METHODS[row.series.method], row.series.group] = (row.failed, row.good)
    return found


def test_at_first_each_is_counted_in_its_group(board, by_kind):
    for number in range(50):
        ask(by_kind, f"/orders/{number}?q=1".encode(), 500 if number % 10 == 0 else 200)
    ask(by_kind, b"/", 404, method="POST")
    assert counted(board) == {("GET", "/orders/*"): (5, 45), ("POST", "/"): (0, 1)}
    latest = next(row for row in more(b"", board.kind_table(0)) if row.failed)
    assert (latest.path, latest.id) == ("/orders/40", "3f08-17")


@pytest.mark.parametrize(("status", "failed"), [(500, 1), (503, 1), (599, 1), (200, 0), (404, 0), (499, 0)])
def test_what_has_failed(board, by_kind, status, failed):
    ask(by_kind, b"/", status)
    assert counted(board) == {("GET", "/"): (failed, 1 - failed)}


def test_of_a_late_answer_only_the_entry_of_the_log_is_left(board, by_kind):
    by_kind.count_late("GET", "/big?x", "id", 500, 0)
    by_kind.count_late("BREW", "/big", "id", 200, 0)
    assert counted(board) == {("GET", "/big"): (1, 0), ("other", "/big"): (0, 1)}


def test_under_load_few_are_looked_at_and_all_are_counted(board, by_kind):
    """A minute of 4000 requests a second, of which one page in turn gets each second one."""
    requests = 60 * 4000
    for number in range(requests):
        target = b"/odd" if number % 2 else b"/even"
        ask(by_kind, target, 500 if number % 1000 == 0 else 200, number * SECOND // 4000)
    rows = [row for row in more(b"", board.kind_table(0)) if row.good]
    assert sum(row.good + row.failed for row in rows) == pytest.approx(requests, rel=0.001)
    assert sum(row.failed for row in rows) == requests // 1000
    seen = sum(row.good**2 / row.squares for row in rows)
    assert seen < requests / 5
    for row in rows:
        assert row.good == pytest.approx(requests / 2, rel=0.05), "no pattern goes unseen"


def test_once_it_is_quiet_again_each_is_counted(board, by_kind):
    for number in range(20_000):
        ask(by_kind, b"/busy", 200, number * SECOND // 20_000)
    now = SECOND
    for _ in range(2000):
        now += SECOND
        ask(by_kind, b"/quiet", 200, now)
    before = board.kind_table(0)
    for _ in range(10):
        ask(by_kind, b"/quiet", 200, now)
    (row,) = more(before, board.kind_table(0))
    assert row.good == row.squares == 10


def test_paths_that_clients_make_up_leave_half_of_the_places(board, by_kind):
    for number in range(3 * PLACES):
        ask(by_kind, b"/wp" + b"x" * (number % 30) + b"/y" * (number // 30), 404, number * SECOND)
    for number in range(PLACES):
        ask(by_kind, b"/page" + b"x" * (number % 30) + b"/y" * (number // 30), 500)
    rows = counted(board)
    assert len(rows) == PLACES + 1
    assert sum(good for _, good in rows.values()) == 3 * PLACES
    assert sum(bool(failed) for failed, _ in rows.values()) == PLACES // 2 + 1
    assert rows["GET", OTHER] == (PLACES // 2, 3 * PLACES - PLACES // 2)


def test_threads_count_beside_each_other(board, by_kind):
    def run():
        for number in range(500):
            ask(by_kind, b"/%c" % (97 + number % 20), 500)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = counted(board)
    assert sum(failed for failed, _ in rows.values()) == 2000


def test_long_paths_that_clients_make_up_are_not_kept(by_kind):
    tracemalloc.start()
    try:
        for number in range(1000):
            ask(by_kind, b"/%d/" % number + b"x" * 8000)
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()
