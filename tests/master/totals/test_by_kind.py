"""What generations have answered by kind, since somebody asked last."""

import os

import pytest

from superwsgi.board.counts import METHODS
from superwsgi.board.kind_table import ROWS
from superwsgi.board.path_table import OTHER, Series
from superwsgi.board.scoreboard import Scoreboard
from superwsgi.master.totals.by_kind import MOST, BySiteKind, KindCount

GET = METHODS.index("GET")
PAGE = Series(GET, "/page")
LIMIT = 1000


class Worker:
    def __init__(self):
        self.board = Scoreboard.create(1, 1)
        self.table = self.board.writer(0).kind_table()
        self.before = b""

    def answer(self, row=9, series=PAGE, good=1, failed=0, name=b"id"):
        self.table.name(row, series)
        for _ in range(failed):
            self.table.fail(row, b"/page", name)
        if good:
            self.table.succeed(row, good)

    def look(self, kinds, generation=1):
        after = self.board.kind_table(0)
        kinds.add(generation, self.before, after, LIMIT)
        self.before = after


@pytest.fixture
def workers():
    workers = [Worker() for _ in range(3)]
    yield workers
    for worker in workers:
        os.close(worker.board.fd)


def test_what_workers_of_a_generation_have_counted_since_the_last_look(workers):
    one, other, new = workers
    kinds = BySiteKind()
    one.answer(good=3, failed=2, name=b"first")
    other.answer(row=20, good=5, failed=1, name=b"last")
    new.answer(good=7)
    for worker, generation in ((one, 1), (other, 1), (new, 2), (one, 1)):
        worker.look(kinds, generation)
    assert kinds.take(1) == {PAGE: KindCount(3, 8, 9 + 25, "/page", "last")}
    assert kinds.take(1) == {}
    assert kinds.take(2)[PAGE].good == 7
    one.answer(good=1)
    one.look(kinds)
    assert kinds.take(1)[PAGE].good == 1


def test_nobody_takes_what_others_answer(workers):
    one, *_ = workers
    kinds = BySiteKind()
    one.answer()
    one.look(kinds, 1)
    one.answer()
    one.look(kinds, 2)
    kinds.forget_others(frozenset([2]))
    assert not kinds.take(1)
    assert kinds.take(2)


def test_what_no_worker_can_have_counted_is_not_believed(workers):
    one, other, _ = workers
    kinds = BySiteKind()
    one.answer(good=LIMIT + 1)
    one.answer(row=10, series=Series(GET, "/fine"), good=5)
    one.look(kinds)
    other.board.bytes[:] = b"\xff" * len(other.board.bytes)
    other.look(kinds)
    assert list(kinds.take(1)) == [Series(GET, "/fine")]
    one.board.clear(0)  # counts that go back
    one.look(kinds)
    assert not kinds.take(1)


def test_names_without_number_count_together(workers):
    kinds = BySiteKind()
    for begin in range(0, 4 * ROWS, ROWS):
        for worker in workers:
            for row in range(8, ROWS):
                worker.answer(row, Series(GET, f"/{begin}{id(worker)}{row}"))
            worker.look(kinds)
    found = kinds.take(1)
    assert len(found) == MOST + 1
    assert found[Series(GET, OTHER)].good > 1000
