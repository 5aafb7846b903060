"""The records of connections that the application has taken over."""

from __future__ import annotations

from superwsgi.board.counts import InFlight
from superwsgi.board.scoreboard import Scoreboard


def test_what_is_written_is_read():
    board = Scoreboard.create(2, 3, paths=True, upgraded=4)
    read = Scoreboard.attach(board.fd, 3, paths=True, upgraded=4)
    writer = board.writer(1)
    records = writer.upgraded()
    assert len(records) == 4
    records[2].begin(77, 5_000_000_000, b"GET", b"/ws", b"3f-1")
    assert read.taken_over(1) == (), "the worker counts none"
    writer.set("upgraded", 1)
    seen = InFlight(5, 77, 5.0, "GET", "/ws", "3f-1")
    assert read.taken_over(1) == read.in_hand(1) == read.read(1).in_hand == (seen,)
    assert read.in_flight(1) == read.taken_over(0) == ()
    records[2].end()
    assert read.taken_over(1) == ()


def test_neighbours_are_left_alone():
    board = Scoreboard.create(2, 1, paths=True, upgraded=2)
    before = board.kind_table(0), board.path_table(0), board.kind_table(1), board.path_table(1)
    for record in board.writer(0).upgraded():
        record.begin(2**64 - 1, 2**64 - 1, b"x" * 99, b"y" * 999, b"z" * 99)
    assert before == (board.kind_table(0), board.path_table(0), board.kind_table(1), board.path_table(1))
    assert board.counts(0) == board.counts(1)


def test_a_board_without_them():
    board = Scoreboard.create(1, 1)
    board.writer(0).set("upgraded", 7)
    assert board.writer(0).upgraded() == []
    assert board.read(0).taken_over == ()
    assert board.read(0).upgraded == 7
