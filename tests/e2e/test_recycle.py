"""Replacing workers that bloat or have answered enough, under load, without anybody noticing."""

import re

import psutil
import pytest

from tests.e2e.daemon import FIXTURE_APPS, IN_ALL_MODELS, saying, wait_for
from tests.e2e.load import Load
from tests.e2e.wire import request

pytestmark = pytest.mark.drill

MB = 1 << 20
SOFT = 60 * MB
LEAK = 2 * MB
LEAKS = 100
"""Together they would be far over the limit of both workers, several times."""


@pytest.fixture
def site(daemon):
    def start(**keys):
        daemon.site(app="e2e_leak:app", chdir=str(FIXTURE_APPS), log={"access": "off"}, **keys)
        daemon.start()
        daemon.wait_workers(keys["workers"])
        return daemon

    return start


def events(site):
    """(event, pid) of the workers' comings and goings, in the log's order."""
    found = re.finditer(
        r"master=\d+ worker=\d+ gen=\d+ pid=(\d+) (to be recycled|serving|draining|ended)", site.log
    )
    return [(match[2], int(match[1])) for match in found]


def rss(pid):
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return 0


def check_replacement_first(site, workers):
    """From the log: never fewer workers than wanted accept, and never two drain because of recycling."""
    serving, draining = set(), set()
    for event, pid in events(site):
        if event == "serving":
            serving.add(pid)
        elif event == "draining":
            assert len(serving) > workers, f"{pid} left before its replacement served"
            serving.remove(pid)
            draining.add(pid)
            assert len(draining) == 1, "two recycled at a time"
        elif event == "ended":
            draining.discard(pid)
    return sum(event == "ended" for event, _ in events(site))


@IN_ALL_MODELS
def test_a_leak_under_load_stays_under_its_limit_and_breaks_nothing(site):
    """Leaked bit by bit, the next only while no worker is over its limit: so what a worker may use at most
    depends neither on how fast this machine leaks nor on how fast it replaces."""
    site = site(workers=2, memory={"soft": f"{SOFT >> 20}M"}, monitor={"interval": "100ms"})
    most = 0
    with Load(site.address, clients=4, path="/", pause=0.004) as load:
        for _ in range(LEAKS):
            wait_for(lambda: max(map(rss, site.workers())) <= SOFT, "replacement", context=lambda: site.log)
            assert site.get(f"/{LEAK >> 10}").status == 200
            most = max(most, *map(rss, site.workers()))
    assert load.broken == []
    assert check_replacement_first(site, 2) >= 3
    assert most < SOFT + LEAK + 10 * MB, "more than one leak above its limit, and what serving needs"


@pytest.mark.parametrize("measure", ["rss", "pss", "uss"])
def test_each_measure(site, measure):
    site = site(
        workers=1, preload=True, memory={"soft": "70M", "measure": measure}, monitor={"interval": "100ms"}
    )
    (before,) = site.workers()
    site.get(f"/{80 << 10}")
    site.wait_log(rf"pid={before} draining reason=.memory\.soft: {measure} \d+M over 70M")
    wait_for(lambda: before not in site.workers(), "end of the bloated worker")
    assert site.get().status == 200
    check_replacement_first(site, 1)


@IN_ALL_MODELS
def test_over_the_hard_limit_a_worker_is_killed_and_replaced(site):
    site = site(
        workers=2,
        memory={"soft": "60M", "hard": "120M"},
        timeouts={"graceful": "30s"},
        monitor={"interval": "100ms"},
    )
    before = site.wait_workers(2)
    site.raw(request(f"/{150 << 10}", fields=["Connection: close"]))  # answered, or already ended
    bloated = int(site.wait_log(r"pid=(\d+) .*memory\.hard: rss \d+M over 120M")[1])
    wait_for(lambda: bloated not in site.workers(), "end of the bloated worker")
    assert set(site.wait_workers(2)) > set(before) - {bloated}
    assert {site.get().status for _ in range(10)} == {200}


@IN_ALL_MODELS
def test_after_so_many_requests_under_load(site):
    site = site(workers=2, requests={"max": 100, "jitter": 100})
    with Load(site.address, clients=8, path="/", pause=0.002) as load:
        wait_for(
            lambda: len(load.bodies()) >= 6, "many workers, one after the other", context=lambda: site.log
        )
    assert load.broken == []
    assert check_replacement_first(site, 2) >= 3
    assert "reason=requests" in site.log


def test_jitter_keeps_workers_from_going_at_the_same_time(site):
    """Each worker draws its own number, which its end tells: at least max, by far not all the same."""
    site = site(workers=1, requests={"max": 20, "jitter": 300})

    def at_their_ends():
        return [int(n) for n in re.findall(r" ended reason=requests .*requests=(\d+)", site.log)]

    with Load(site.address, clients=4) as load:
        requests = wait_for(lambda: found if len(found := at_their_ends()) >= 4 else None, "ends of workers")
    assert load.broken == []
    assert min(requests) >= 20
    assert len(set(requests)) > 1


def test_by_age_each_at_another_moment_and_nothing_is_lost(daemon):
    daemon.write("app.py", saying("hello"))
    daemon.site(workers=2, requests={"age": "1s", "jitter": "50%"}, monitor={"interval": "100ms"})
    daemon.start()
    before = daemon.wait_workers(2)
    with Load(daemon.address, clients=2) as load:
        daemon.wait_log("(?s)" + r"to be recycled reason=\"requests.age: has served for .*" * 2)
        wait_for(lambda: not {*before} & {*daemon.workers()}, "other workers")
    assert not load.broken
    assert "warning" not in daemon.log
