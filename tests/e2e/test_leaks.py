"""A page that leaks among nineteen that do not, asked by eight clients: it is named, before its worker is
recycled and as the reason for that. A page with a cache is not."""

import contextlib
import json
import random
import re

import pytest

from tests.e2e.daemon import FIXTURE_APPS, wait_for
from tests.e2e.load import ClientThreads

PAGES = [f"/{name}" for name in "abcdefghijklmnopqrst"]
LEAK = "GET /h"
PATIENT = 120.0


@pytest.fixture
def site(daemon):
    def start(leaks, places=0, **keys):
        (daemon.folder / "app.py").write_text((FIXTURE_APPS / "e2e_leaking.py").read_text())
        env = {"LEAKS": str(leaks), "PLACES": str(places)}
        daemon.site(workers=1, threads=8, env=env, **keys)
        return daemon.start()

    return start


class Mixed(ClientThreads):
    """Eight clients that ask for all pages at random meanwhile."""

    def __init__(self, site):
        super().__init__(site.address, 8)
        self._site = site
        self.answers = 0

    def _ask(self, number):
        chance = random.Random(number)
        with contextlib.closing(self._site.client()) as client:
            while not self._stop.is_set():
                client.request("GET", chance.choice(PAGES))
                client.getresponse().read()
                self.answers += 1


def status(site):
    return json.loads(site.command("status", "site", "--json").stdout)["workers"][0]["memory"]


def test_a_leak_is_named_once_and_is_in_status(site):
    site = site(1024)
    with Mixed(site):
        line = site.wait_log(r"warning .*worker=1 .*leak suspected .*", deadline=PATIENT)[0]
    assert 'kind="GET /h"' in line
    assert re.search(r'reason="grown (\d{3,4}K|1\.\dM|1M) a request by GET /h since \d\d:\d\d"', line)
    assert "set memory.soft" in line
    requests = re.search(r" requests=(\d+)", line)
    assert 150 <= int(requests[1]) < 2000, "usually 210, but the machine may be busy"
    (leak,) = status(site)["leaks"]
    assert leak["kind"] == LEAK
    assert leak["each"] == pytest.approx(1 << 20, rel=0.3)
    assert "leak suspected" in site.command("why", "site").stdout
    assert "a request by GET /h" in site.command("status", "site").stdout


def test_a_cache_that_misses_on_its_first_400_requests_is_never_named(site):
    site = site(256, places=400)
    with Mixed(site) as clients:
        wait_for(lambda: clients.answers > 20 * 700, "all of its places, and more", deadline=PATIENT)
    assert status(site)["leaks"] == []
    assert "grown" not in site.command("status", "site").stdout
    assert "leak" not in site.log


@pytest.mark.drill
def test_it_is_why_its_worker_is_recycled(site):
    site = site(512, memory={"soft": "300M"})
    with Mixed(site):
        line = site.wait_log(r"to be recycled .*", deadline=PATIENT)[0]
    assert re.search(
        r"memory\.soft: rss \d+M over 300M, grown \d{3}K a request by GET /h since \d\d:\d\d", line
    )
