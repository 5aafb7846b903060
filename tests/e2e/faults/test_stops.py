"""A signal stops a worker of two, under load: the other one serves, and there are two again in time."""

import signal

import pytest

from tests.e2e.faults.drill import AGAIN, CLIENTS, lost

pytestmark = pytest.mark.drill

SOON = 17.0
"""Seconds; seven, with room for a machine that has more to do."""

STOPPED = r"worker \d killed: stopped by a signal for \S+ and not continued"


@pytest.fixture
def site(drill):
    return drill.begin(timeouts={"request": "2s"}, threads=4)


def test_a_busy_worker_is_stopped(site):
    before = site.workers()
    with site.under_load() as load, site.asked("/stop"):
        site.shows("stopped")
        assert site.whole(before) < SOON
    site.says(rf"{STOPPED}; {lost('/stop')}{AGAIN}")
    assert len(load.broken) <= CLIENTS, load.broken


def test_an_idle_worker_is_stopped(site):
    before = site.workers()
    with site.under_load(clients=1, keep_alive=False) as load:
        site.kill(before[1], signal.SIGSTOP)
        site.shows("stopped", before[1])
        assert site.whole(before) < SOON
    site.says(rf"{STOPPED}; (GET / \S+ \S+; 1|no) request lost{AGAIN}")
    assert len(load.broken) <= 1, load.broken
