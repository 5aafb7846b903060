"""Who is believed to leak, and what is logged of that. Workers may say anything."""

import time

import pytest

from superwsgi.master.memory.leaks import AGAIN, Leaks, spell
from superwsgi.messages import Grows, LeakingKind
from superwsgi.snapshot import LeakStatus

MIB = 1 << 20


@pytest.fixture
def worker(rooms):
    rooms.site = rooms.sitewide.site = rooms.a_site(workers=1)
    serving = rooms.start_serving().workers[0]
    serving.uses(500 * MIB, rooms.now)
    return serving


@pytest.fixture
def leaks(rooms):
    return Leaks(rooms.context.errors)


def report(proven=True):
    return LeakingKind("GET /report", 1.4 * MIB, 212, 60.0, proven)


def lines(rooms):
    return [line for line in rooms.log.splitlines() if "leak suspected" in line]


def test_a_leak_is_kept_and_logged_with_what_to_do(rooms, leaks, worker):
    leaks.heard(worker, Grows([report()]), None, rooms.now)
    assert [one.kind for one in worker.leaks] == ["GET /report"]
    (line,) = lines(rooms)
    assert 'kind="GET /report" reason="grown 1.4M a request by GET /report since ' in line
    assert 'requests=212 next="set memory.soft; to see what is kept' in line


def test_with_a_limit_that_is_said(rooms, leaks, worker):
    leaks.heard(worker, Grows([report()]), 600 * MIB, rooms.now)
    assert "it is recycled at memory.soft (600M)" in lines(rooms)[0]


def test_what_may_be_a_cache_that_fills_is_only_a_reason(rooms, leaks, worker):
    leaks.heard(worker, Grows([report(proven=False)]), None, rooms.now)
    assert spell(worker.leaks).startswith("grown 1.4M a request by GET /report since ")
    assert lines(rooms) == []
    leaks.heard(worker, Grows([]), None, rooms.now)
    assert spell(worker.leaks) == "", "it has filled, and stopped"


def test_once_an_hour_whichever_worker_says_so(rooms, leaks, worker):
    for later in (0, AGAIN - 1, AGAIN):
        leaks.heard(worker, Grows([report()]), None, rooms.now + later)
    assert len(lines(rooms)) == 2


def test_more_than_it_has_is_not_believed(rooms, leaks, worker):
    leaks.heard(worker, Grows([LeakingKind("GET /all", 1e12, 3, 60.0)]), None, rooms.now)
    assert (worker.leaks, lines(rooms)) == ([], [])


@pytest.mark.parametrize("seconds", [1e12, 1e308])
def test_nor_for_longer_than_it_has_served(rooms, leaks, worker, seconds):
    """There are no such dates: whoever looks at its memory would fail, each time."""
    leaks.heard(worker, Grows([LeakingKind("GET /old", 2.0 * MIB, 200, seconds, True)]), None, rooms.now)
    assert spell(worker.leaks) in lines(rooms)[0]
    assert 0 <= time.time() - worker.leaks[0].since < 60


def test_it_survives_an_upgrade(rooms, leaks, worker):
    leaks.heard(worker, Grows([report()]), None, rooms.now)
    assert worker.hold().leaks == worker.leaks


def test_a_day_ago_is_said_with_its_date():
    assert spell([LeakStatus("GET /a", 2.0 * MIB, 200, 86_400.0)]) == (
        "grown 2M a request by GET /a since 1970-01-02 00:00"
    )
    assert spell([]) == ""
