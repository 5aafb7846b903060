"""Which row of its table a worker counts a request in."""

import os
import threading
import tracemalloc
from collections import Counter

import pytest

from superwsgi.board.counts import METHODS, NUMBERS
from superwsgi.board.path_table import ANSWERS_AT, GROUPS, LATENCY_AT, OTHER, ROWS, changed
from superwsgi.board.scoreboard import Scoreboard
from superwsgi.http.request.head import Request
from superwsgi.worker.by_path import ByPath


@pytest.fixture
def board():
    board = Scoreboard.create(1, 2, paths=True)
    yield board
    os.close(board.fd)


@pytest.fixture
def by_path(board):
    return ByPath(board.writer(0).path_table())


def ask(by_path, target, method="GET", status=200, app=1):
    by_path.count(Request(method, target.encode("latin-1"), "HTTP/1.1", {}), status, app, 2)


def counted(board):
    """Requests by method and group."""
    table = board.path_table(0)
    found = Counter()
    for row in changed(bytes(len(table)), table):
        found[METHODS[row.series.method], row.series.group] += sum(row.counts[ANSWERS_AT:LATENCY_AT])
    return {series: count for series, count in found.items() if count}


def test_files_take_the_place_of_one_page(board):
    by_path = ByPath(board.writer(0).path_table(), ("/shop/static/",))
    for letter in "abcdefghij":
        ask(by_path, f"/shop/static/img/{letter}.png?v=1")
    ask(by_path, "/shop/statics")
    assert counted(board) == {("GET", "/shop/static/*"): 10, ("GET", "/shop/statics"): 1}


def test_by_method_and_group(board, by_path):
    for target in ("/orders/1", "/orders/2?page=3", "/orders/2", "/", "/?x=/orders/1"):
        ask(by_path, target)
    ask(by_path, "/orders/1", "DELETE", 404)
    ask(by_path, "/", "PROPFIND")
    ask(by_path, "*", "OPTIONS")
    ask(by_path, "http://shop.example.com/orders/7")
    by_path.count(None, 400, -1, 1)
    by_path.count_late("POST", "/upload", 200, 1, 1)
    assert counted(board) == {
        ("GET", "/orders/*"): 4,
        ("GET", "/"): 2,
        ("DELETE", "/orders/*"): 1,
        ("other", "/"): 1,
        ("OPTIONS", "*"): 1,
        ("other", OTHER): 1,
        ("POST", "/upload"): 1,
    }


def words(count):
    """So many different ones, without a digit: each is a group."""
    return [f"/word{chr(97 + at // 26)}{chr(97 + at % 26)}" for at in range(count)]


def test_groups_are_bounded_and_the_sum_is_right(board, by_path):
    for _ in range(2):
        for target in words(300):
            ask(by_path, target)
    found = counted(board)
    assert len(found) == GROUPS + 1
    assert found["GET", OTHER] == 2 * (300 - GROUPS)
    assert sum(found.values()) == 600


def test_so_are_methods_of_them(board, by_path):
    for method in NUMBERS:
        for target in words(GROUPS):
            ask(by_path, target, method)
    found = counted(board)
    assert len(found) <= ROWS
    assert sum(found.values()) == len(NUMBERS) * GROUPS
    assert found["GET", "/wordaa"] == 1


@pytest.mark.parametrize(("status", "app"), [(404, 1), (503, -1), (499, -1)])
def test_what_clients_try_leaves_room_for_pages(board, by_path, status, app):
    for target in words(300):
        ask(by_path, target, status=status, app=app)
    for target in ("/checkout", "/basket"):
        ask(by_path, target)
        ask(by_path, target, status=404)
    found = counted(board)
    assert found["GET", OTHER] == 300 - GROUPS // 2
    assert found["GET", "/checkout"] == found["GET", "/basket"] == 2


def test_threads_count_exactly(board, by_path):
    targets = [*words(20), *(f"/items/{at}" for at in range(3000))]

    def run():
        for target in targets:
            ask(by_path, target)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert counted(board) == {("GET", target): 8 for target in words(20)} | {("GET", "/items/*"): 24_000}


def test_long_paths_that_clients_make_up_are_not_kept(by_path):
    tracemalloc.start()
    try:
        for number in range(1000):
            ask(by_path, f"/orders/{number}" + "x" * 8000)
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()
