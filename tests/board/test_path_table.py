"""The table of paths: what a worker writes the master reads, and what an application writes there."""

import os

import pytest

from superwsgi.board.counts import BUCKETS, METHODS, bucket
from superwsgi.board.path_table import ANSWERS_AT, LATENCY_AT, OTHER, ROWS, Series, changed
from superwsgi.board.scoreboard import Scoreboard

GET = METHODS.index("GET")


@pytest.fixture
def board():
    board = Scoreboard.create(3, 2, paths=True)
    yield board
    os.close(board.fd)


def rows(board, slot, before=b""):
    table = board.path_table(slot)
    return list(changed(before.ljust(len(table), b"\0"), table))


def test_a_row_round_trips_through_another_mapping(board):
    table = board.writer(1).path_table()
    table.name(9, Series(GET, "/orders/*"))
    for status, took in ((200, 3_000_000), (404, 100), (503, 70_000_000_000)):
        table.count(9, status, took // 2, took)
    ((_, series, counts),) = rows(Scoreboard.attach(board.fd, 2, paths=True), 1)
    assert series == Series(GET, "/orders/*")
    assert counts[:2] == (70_003_000_100, 35_001_500_050)
    assert counts[ANSWERS_AT:LATENCY_AT] == (1, 0, 1, 1)
    latency = counts[LATENCY_AT:]
    assert [at for at, count in enumerate(latency) if count] == [0, bucket(3_000_000), BUCKETS - 1]
    assert not any(board.path_table(0) + board.path_table(2)), "a slot's neighbours are left alone"
    assert board.counts(1).requests == 0


def test_only_rows_that_have_changed_are_read(board):
    table = board.writer(0).path_table()
    for row in (8, 9, ROWS - 1):
        table.name(row, Series(GET, f"/{row}"))
        table.count(row, 200, 1, 1)
    before = board.path_table(0)
    table.count(9, 200, 1, 1)
    assert [row.series.group for row in rows(board, 0, before)] == ["/9"]


def test_the_records_before_it_are_as_without(board):
    writer = board.writer(2)
    writer.thread(1).count(200, GET, 5, 1, 1)
    writer.refuse(503, GET, 5, 1)
    writer.path_table().name(0, Series(GET, OTHER))
    thread = writer.thread(0)
    thread.count(404, GET, 5, 1, 1)
    thread.show_all()
    assert board.counts(2).classes == (0, 0, 1, 1)


def test_a_cleared_slot_has_none(board):
    table = board.writer(0).path_table()
    table.count(0, 200, 1, 1)
    board.clear(0)
    assert not any(board.path_table(0))


def test_without_them_they_take_no_memory():
    board = Scoreboard.create(3, 2)
    assert board.path_table(0) == b""
    assert board.writer(0).path_table() is None
    with pytest.raises(ValueError, match="not a scoreboard"):
        Scoreboard.attach(board.fd, 2, paths=True)
    os.close(board.fd)


@pytest.mark.parametrize("name", [b"\xff" * 120, b"no path", b"/a b", b"/\x1b[2J", b"", b"/\n"])
def test_names_that_cannot_be_are_others(board, name):
    table = board.writer(0).path_table()
    table.name(8, Series(GET, "/page"))
    table.count(8, 200, 1, 1)
    at = board.bytes.obj.find(b"/page")
    board.bytes[at : at + 120] = name.ljust(120, b"\0")
    ((_, series, _),) = rows(board, 0)
    assert series == Series(GET, OTHER)


def test_a_method_that_cannot_be_is_nothing(board):
    board.bytes[:] = b"\xff" * len(board.bytes)
    assert {row.series for row in rows(board, 0)} == {None}
