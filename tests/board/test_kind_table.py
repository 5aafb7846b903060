"""The table of kinds: what a worker writes the master reads, and what an application writes there."""

import os

import pytest

from superwsgi.board.counts import METHODS
from superwsgi.board.kind_table import ROWS, KindRow, more
from superwsgi.board.path_table import OTHER, Series
from superwsgi.board.scoreboard import Scoreboard

GET = METHODS.index("GET")
ORDERS = Series(GET, "/orders/*")


@pytest.fixture(params=[False, True], ids=["alone", "beside that of paths"])
def board(request):
    board = Scoreboard.create(3, 2, paths=request.param)
    yield board
    os.close(board.fd)


def rows(board, slot, before=b""):
    return list(more(before, board.kind_table(slot)))


def test_a_row_round_trips_through_another_mapping(board):
    table = board.writer(1).kind_table()
    table.name(9, ORDERS)
    for times in (1, 4):
        table.succeed(9, times)
    for name in (b"first", b"last"):
        table.fail(9, b"/orders/7", name)
    (row,) = rows(Scoreboard.attach(board.fd, 2, paths=board.paths), 1)
    assert row == KindRow(ORDERS, 2, 5, 17, "/orders/7", "last")
    assert not any(board.kind_table(0) + board.kind_table(2) + board.path_table(1)), (
        "neighbours are left alone"
    )
    assert board.counts(1).requests == 0


def test_what_is_more_than_before(board):
    table = board.writer(0).kind_table()
    for row in (0, ROWS - 1):
        table.name(row, Series(GET, OTHER if row < len(METHODS) else "/last"))
        table.succeed(row, 3)
    before = board.kind_table(0)
    table.fail(ROWS - 1, b"/last", b"id")
    (row,) = rows(board, 0, before)
    assert (row.series.group, row.failed, row.good) == ("/last", 1, 0)
    assert [row.good for row in rows(board, 0)] == [3, 3]


def test_a_slot_is_cleared_with_its_table(board):
    table = board.writer(0).kind_table()
    table.name(3, ORDERS)
    table.fail(3, b"/orders/7", b"id")
    board.clear(0)
    assert not any(board.kind_table(0))


def test_what_is_not_text_can_be_printed(board):
    table = board.writer(0).kind_table()
    table.name(9, ORDERS)
    table.fail(9, b"/\x1b[2J\xff" + b"x" * 200, b"\n")
    (row,) = rows(board, 0)
    assert row.path.startswith("/?[2J?x")
    assert row.id == "?"


def test_what_an_application_writes_there_is_read_as_far_as_it_is_a_row(board):
    table = board.kind_table(0)
    assert list(more(table, b"\xff" * len(table))) == []
    forged = bytearray(table)
    forged[0] = GET + 1
    (row,) = more(table, bytes(forged))
    assert (row.series, row.failed) == (Series(GET, OTHER), 0)
