"""The sums of a site over its workers' tables of paths."""

import os

import msgspec
import pytest

from superwsgi.board.counts import METHODS
from superwsgi.board.path_table import ANSWERS_AT, GROUPS, LATENCY_AT, OTHER, Series
from superwsgi.board.scoreboard import Scoreboard
from superwsgi.master.totals.by_path import BySitePath, Counted

GET = METHODS.index("GET")
MOST = 1000


class Worker:
    def __init__(self):
        self.board = Scoreboard.create(1, 1, paths=True)
        self.table = self.board.writer(0).path_table()
        self.believed = b""

    def answer(self, row, group, times=1, status=200):
        self.table.name(row, Series(GET, group))
        for _ in range(times):
            self.table.count(row, status, 10, 20)

    def look(self, site, most=MOST):
        self.believed = site.add(self.believed, self.board.path_table(0), most)


@pytest.fixture
def worker():
    worker = Worker()
    yield worker
    os.close(worker.board.fd)


@pytest.fixture
def other():
    worker = Worker()
    yield worker
    os.close(worker.board.fd)


def requests(site):
    return {series.group: sum(counts[ANSWERS_AT:LATENCY_AT]) for series, counts in site.all()}


def test_each_look_adds_what_is_new(worker, other):
    site = BySitePath()
    for _ in range(3):
        worker.answer(8, "/a", 2)
        worker.look(site)
        worker.look(site)
    other.answer(9, "/a", 5)
    other.answer(8, "/b")
    other.look(site)
    assert requests(site) == {"/a": 11, "/b": 1}
    ((_, counts), _) = site.all()
    assert counts[:2] == (11 * 20, 11 * 10)


def test_what_is_taken_away_stays_counted_and_is_not_counted_twice(worker):
    site = BySitePath()
    worker.answer(8, "/a", 5)
    worker.look(site)
    saved = worker.board.path_table(0)
    worker.board.clear(0)
    worker.look(site)
    worker.board.bytes[-len(saved) :] = saved
    worker.look(site)
    assert requests(site) == {"/a": 5}


def test_a_row_that_gets_another_name_takes_nothing_along(worker):
    site = BySitePath()
    worker.answer(8, "/a", 5)
    worker.look(site)
    worker.answer(8, "/b", 2)
    worker.look(site)
    assert requests(site) == {"/a": 5, "/b": 2}


def test_what_no_worker_can_have_counted_is_not_believed(worker):
    site = BySitePath()
    worker.answer(8, "/a", 5)
    worker.answer(9, "/b", MOST + 1)
    worker.look(site)
    assert requests(site) == {"/a": 5}
    worker.look(site, MOST + 1)
    assert requests(site) == {"/a": 5, "/b": MOST + 1}
    worker.board.bytes[:] = b"\xff" * len(worker.board.bytes)
    worker.look(site)
    assert requests(site) == {"/a": 5, "/b": MOST + 1}


def test_groups_of_all_workers_together_are_bounded(worker, other):
    site = BySitePath()
    for number, each in enumerate((worker, other)):
        for row in range(8, 8 + GROUPS):
            each.answer(row, f"/{number}/{row}")
        each.look(site)
    assert len(site.all()) == GROUPS + 1
    assert requests(site)[OTHER] == GROUPS
    for row in range(8, 8 + GROUPS):
        other.answer(row, f"/1/{row}")
    other.look(site)
    assert requests(site)[OTHER] == 2 * GROUPS, "once among the others, always"


def test_what_clients_try_leaves_room_for_pages(worker, other):
    site = BySitePath()
    for row in range(8, 8 + GROUPS):
        worker.answer(row, f"/tried/{row}", status=404)
    worker.look(site)
    other.answer(8, "/page")
    other.look(site)
    assert requests(site)["/page"] == 1
    assert requests(site)[OTHER] == GROUPS // 2


def test_another_program_goes_on_with_them(worker):
    site = BySitePath()
    worker.answer(8, "/a", 5)
    worker.look(site)
    held = msgspec.json.decode(msgspec.json.encode(site.all()), type=list[Counted])
    worker.believed = worker.believed.rstrip(b"\0")
    after = BySitePath(held)
    worker.answer(8, "/a", 2)
    worker.look(after)
    assert requests(after) == {"/a": 7}
