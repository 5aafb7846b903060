"""Workers that come and go with the load: a real daemon, and clients that keep their connections."""

import json
import signal

import pytest

from superwsgi.system import machine
from tests.e2e.daemon import FIXTURE_APPS, wait_for
from tests.e2e.load import Load

NEEDS_CPUS = pytest.mark.skipif(machine.cpus() < 2, reason="on one CPU no second worker helps to compute")

CHANGED = r"worker count changed workers={} before={} reason=\"([^\"]*)\""


@pytest.fixture
def site(daemon):
    def start(workers, **keys):
        daemon.write("app.py", (FIXTURE_APPS / "e2e_elastic.py").read_text())
        daemon.site(workers=workers, log={"access": "off"}, **keys)
        daemon.count = workers["min"]
        return daemon.start()

    return start


def status(site):
    return json.loads(site.command("status", "--json").stdout)


def until_spread(load, workers):
    """Until the last answers are from so many workers, and each of them gives many."""

    def spread():
        latest = [answer.body for answer in load.answers[-30 * workers :]]
        often = {pid for pid in latest if latest.count(pid) >= 9}
        return len(latest) == 30 * workers and len(often) == workers

    wait_for(spread, f"answers of {workers} workers")


@NEEDS_CPUS
def test_a_page_that_computes_gets_another_worker(site):
    site = site({"min": 1, "max": 2})
    with Load(site.address, clients=6, path="/compute", pause=0) as load:
        reason = site.wait_log(CHANGED.format(2, 1))[1]
        assert "compute" in reason
        until_spread(load, 2)
        said = status(site)
        assert (said["wanted"], said["least"], said["most"], said["pinned"]) == (2, 1, 2, False)
    assert load.broken == []
    assert "2 of 2 workers (1 to 2)" in site.command("status").stdout


@pytest.mark.drill
def test_a_number_that_was_asked_for_stays_until_it_is_given_back(site):
    site = site({"min": 1, "max": 3}, threads=1)
    assert "2 workers serve, until the next reload, or" in site.command("workers", "=2", "--wait").stdout
    assert "2 of 2 workers (asked for)" in site.command("status").stdout
    with Load(site.address, clients=6, path="/wait", pause=0) as load:
        until_spread(load, 2)
        site.send(signal.SIGTTOU)
        site.wait_workers(1)
        given_back = site.command("workers", "auto", "--wait").stdout
        assert "1 worker serves, as the load calls for, 1 to 3" in given_back
        until_spread(load, 3)
    assert load.broken == []


@pytest.mark.drill
def test_load_for_four_is_served_by_four_and_rest_leaves_one(site):
    site = site({"min": 1, "max": 4}, threads=1)
    with Load(site.address, clients=8, path="/wait", pause=0) as load:
        until_spread(load, 4)
        assert not [reason for reason in status(site)["reasons"] if "missing" in reason]
    site.wait_log(r"worker count changed workers=1 before=\d reason=\"little to do", deadline=180)
    site.wait_workers(1)
    assert load.broken == []
    assert "lost" not in site.log


@pytest.mark.drill
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2], ids=["reload", "upgrade"])
def test_what_replaces_a_generation_begins_with_as_many(site, number):
    site = site({"min": 1, "max": 4}, threads=1)
    with Load(site.address, clients=8, path="/wait", pause=0) as load:
        until_spread(load, 4)
        mark = site.mark()
        site.send(number)
        site.wait_log("reload complete", since=mark, deadline=60)
        site.wait_workers(4)
        until_spread(load, 4)
        assert "worker count changed" not in site.log[mark:]
    assert load.broken == []


@pytest.mark.drill
def test_not_against_memory_and_the_log_says_so_once(site):
    site = site({"min": 1, "max": 4}, threads=1, memory={"soft": "45%"})
    with Load(site.address, clients=8, path="/wait", pause=0) as load:
        site.wait_log('no more workers workers=2 reason="memory.soft lets a worker become')
        until_spread(load, 2)
        assert "no more workers: memory.soft lets" in site.command("status").stdout
    assert load.broken == []
    assert site.log.count("no more workers") == 1
