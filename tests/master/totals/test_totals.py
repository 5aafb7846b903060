"""What the site has counted, over workers that come and go, and whatever an application writes there."""

import os

import msgspec
import pytest

from superwsgi.board.counts import ANSWERS, BUCKETS, MOST, NUMBERS, Counts
from superwsgi.board.scoreboard import Scoreboard
from superwsgi.master.handover import HeldTotals
from superwsgi.master.policy.causes import Cause
from superwsgi.master.processes.handles import WorkerHandle
from superwsgi.master.totals.totals import FASTEST, Totals, is_possible


@pytest.fixture
def board():
    board = Scoreboard.create(slots=4, threads=1)
    yield board
    os.close(board.fd)


NOW = 200.0
"""Monotonic seconds; the workers have served for a hundred."""


class Site:
    """Its workers answer requests; `totals` counts."""

    def __init__(self, board):
        self.board = board
        self.totals = Totals()
        self.workers = {}

    def begin(self, slot):
        self.board.clear(slot)
        self.workers[slot] = WorkerHandle(slot + 1, 1, slot, None, None, "", ready_at=100.0)
        return self.board.writer(slot).thread(0)

    def end(self, slot):
        self.totals.bury(self.workers.pop(slot), self.board, NOW)

    def living(self):
        return [(self.board, worker) for worker in self.workers.values()]

    def count(self):
        return self.totals.now(self.living(), NOW)


@pytest.fixture
def site(board):
    return Site(board)


def answer(thread, count, status=200):
    for _ in range(count):
        thread.count(status, NUMBERS["GET"], 10, 1000, 2000)
    thread.show()


def test_workers_that_come_and_go(site):
    answer(site.begin(0), 3)
    answer(site.begin(1), 4, status=404)
    site.end(0)
    answer(site.begin(0), 5, status=503)
    assert site.count().classes == (3, 0, 4, 5)
    site.end(0)
    site.end(1)
    assert site.count().classes == (3, 0, 4, 5)
    assert site.count().sent == 120


def test_what_an_application_takes_away_stays_counted(site):
    answer(site.begin(0), 7)
    assert site.count().requests == 7
    site.board.clear(0)
    assert site.count().requests == 7
    site.end(0)
    assert site.count().requests == 7


def test_what_nobody_can_have_counted_is_not_believed(site):
    """Every word of the board is as large as it can be."""
    answer(site.begin(0), 3)
    answer(site.begin(1), 4)
    before = site.count()
    behind_the_header = 32
    site.board.bytes[behind_the_header:] = b"\xff" * (len(site.board.bytes) - behind_the_header)
    assert site.count() == before
    site.end(1)
    answer(site.begin(1), 1)
    assert site.count().requests == 8, "others count on"


@pytest.mark.parametrize(
    "counts",
    [
        Counts(answers=(FASTEST * 60,) * ANSWERS),
        Counts(latency=(FASTEST * 60,) * BUCKETS),
        Counts(sent=1 << 40, time=FASTEST * 60.0),
    ],
)
def test_what_can_be_counted_in_a_minute_and_not_in_less(counts):
    assert is_possible(counts, 60.0)
    assert not is_possible(counts, 59.0)


def test_sums_do_not_overflow():
    huge = Counts(answers=(MOST,) * ANSWERS, sent=MOST)
    assert (huge + huge).sent == (huge + huge).requests == MOST
    assert msgspec.json.encode([huge + huge, huge.requests]), "numbers that JSON readers take"


def test_the_last_minute(site):
    thread = site.begin(0)
    answer(thread, 5)
    for now in range(100, 171):
        answer(thread, 2)
        site.totals.look(site.living(), now)
    lately = site.totals.lately(site.count(), 171)
    assert lately.seconds == 61
    assert lately.counts.requests == 2 * 60


def test_another_program_goes_on_with_them(site):
    thread = site.begin(0)
    answer(thread, 5)
    site.end(0)
    answer(site.begin(0), 6)
    site.totals.look(site.living(), 100.0)
    site.board.clear(0)
    before = site.count()
    held = msgspec.json.decode(msgspec.json.encode(site.totals.hold()), type=HeldTotals)
    after = Site(site.board)
    after.workers = site.workers
    after.totals.restore(held)
    assert after.count() == before == site.count()
    assert before.requests == 11
    assert after.totals.lately(before, 160.0) == site.totals.lately(before, 160.0)
    assert after.totals.lately(before, 160.0).counts == Counts()


def test_cpu_of_workers_that_are_and_were_never_goes_back(site):
    for slot, seconds in (0, 3.0), (1, 4.0):
        site.begin(slot)
        site.workers[slot].spent(NOW, seconds)
    assert site.totals.cpu(site.living()) == 7.0
    site.workers[1].spent(NOW, 3.9)
    site.workers[1].spent(NOW, None)
    site.end(0)
    assert site.totals.cpu(site.living()) == 7.0
    held = msgspec.json.decode(msgspec.json.encode(site.totals.hold()), type=HeldTotals)
    after = Totals()
    after.restore(held)
    assert after.cpu(site.living()) == 7.0


def test_why_workers_were_replaced(site):
    for cause in (Cause.HANG, None, Cause.HANG, Cause.ASKED):
        site.totals.restarted(cause)
    held = msgspec.json.decode(msgspec.json.encode(site.totals.hold()), type=HeldTotals)
    after = Totals()
    after.restore(held)
    assert after.restarts == {Cause.HANG: 2, Cause.ASKED: 1}


def test_the_cpu_of_a_worker_is_that_since_the_last_look():
    worker = WorkerHandle(1, 1, 0, None, None, "")
    assert worker.cpu is None
    worker.spent(10.0, 3.0)
    assert worker.cpu is None, "until then it may have taken any time"
    worker.spent(12.0, 4.0)
    assert worker.cpu == 0.5
    worker.spent(12.0, 4.0)
    assert worker.cpu == 0.5
    worker.spent(13.0, None)
    worker.spent(14.0, 5.0)
    assert worker.cpu is None
