"""A worker of two does not go on, under load: the other one serves, and there are two again in time."""

import time

import pytest

from tests.e2e.daemon import wait_for
from tests.e2e.faults.drill import AGAIN, CLIENTS, lost

pytestmark = pytest.mark.drill

DEADLINE = 2.0
"""Seconds: timeouts.request of these sites."""

SLACK = 10.0
"""Seconds that a machine with more to do may take beyond what is promised."""


@pytest.fixture
def site(drill):
    return drill.begin(timeouts={"request": f"{DEADLINE:g}s"}, threads=4)


def test_an_endless_loop(site):
    before = site.workers()
    with site.under_load() as load:
        assert site.ask("/loop").status == 504
        assert site.whole(before) < DEADLINE + 2 + SLACK
    said = r"a stuck thread (goes on computing|does not come back): GET /loop \S+ for \S+"
    told = site.says(rf"worker \d to be recycled: {said}(; no request lost)?{AGAIN}")
    assert site.incidents(told["requests"][0]["id"])[-1]["event"] == "request stuck"
    assert load.broken == []


def test_the_gil_is_held(site):
    before = site.workers()
    with site.under_load() as load, site.asked("/gil"):
        site.shows("hangs")
        assert site.whole(before) < 7 + SLACK
    site.says(rf"worker \d hangs: no heartbeat for \S+: something holds the GIL; {lost('/gil')}{AGAIN}")
    assert len(load.broken) <= CLIENTS, load.broken


def test_a_deadlock_on_the_logging_lock(site):
    """Who logs waits, also the interpreter at the end of that worker. The server does without that lock."""
    before = site.workers()
    with site.under_load(path="/log") as load:
        stuck = site.ask("/lock")
        assert stuck.status == 504
        assert site.whole(before) < DEADLINE + 2 + SLACK
    asked = stuck.fields["x-request-id"]
    said = rf"a stuck thread does not come back: GET /lock {asked} for \S+"
    site.says(rf"worker \d to be recycled: {said}(; .*)?{AGAIN}", asked)
    assert {each[:3] for each in load.broken} <= {"504"}, load.broken


def test_all_threads_of_the_only_worker_sleep(drill):
    """Each client has its answer at its deadline; then others are served, by threads that replace these."""
    drill.begin(workers=1, threads=2, timeouts={"request": f"{DEADLINE:g}s"})
    with drill.asked("/sleep") as first, drill.asked("/sleep") as second, drill.asked("/") as other:
        wait_for(lambda: drill.status()["threads"]["queued"] == 1, "request that waits")
        assert drill.status()["threads"]["busy"] == 2
        began = time.monotonic()
        for client, status in ((first, 504), (second, 504), (other, 200)):
            assert client.answer().status == status
            print(f"{status} after {time.monotonic() - began:.2f}s")
        assert time.monotonic() - began < DEADLINE + 1 + SLACK
    drill.says(
        r"worker 1 request stuck; GET /sleep \S+ 2\S*( and 1 more)?; .*504; thread replaced \(2 times\)"
    )
