"""A release that answers badly goes back, and one that answers as before stays (rollout.max_errors)."""

import json
import re
import signal
import time

import pytest

from tests.e2e.daemon import FIXTURE_APPS, wait_for
from tests.e2e.load import Load

CODE = (FIXTURE_APPS / "e2e_failing.py").read_text()
TOLD = r"GET /shop/\*: \d+ of (about )?\d+ answers were 5xx \(\d+ %\), \d+ of \d+ before \((1|2|<1) %\)"


def shop(site, fails):
    """A release that fails for so many of a hundred."""
    site.write("app.py", CODE.replace("FAILS = 0", f"FAILS = {fails}"))


@pytest.fixture
def site(daemon):
    """One that always fails for one of a hundred."""
    shop(daemon, 1)
    return daemon


def start(site, confirm):
    site.site(workers=2, log={"access": "off"}, rollout={"confirm": confirm})
    return site.start()


def visitors(site):
    """Some two hundred requests a second."""
    return Load(site.address, clients=4, path="/shop/1", pause=0.02)


def is_busy(load, answers=200):
    wait_for(lambda: len(load.answers) >= answers, f"{answers} answers")


def test_a_bad_release_goes_back_and_says_why(site):
    start(site, "10s")
    with visitors(site) as load:
        is_busy(load)
        shop(site, 20)
        done = site.command("reload", "-c", "site.yaml", "--wait")
        site.wait_log(r"(?s)(gen=2 pid=\d+ ended.*){2}")
        seen = len(load.broken)
        is_busy(load, len(load.answers) + 200)
    assert done.returncode == 1
    assert re.search(f"reload rolled back: generation 2: {TOLD}", done.stderr)
    assert 'next="generation 1 goes on serving"' in site.log
    assert not [each for each in load.broken if not each.startswith("500 ")]
    assert len(load.broken) - seen < 15, "the old release serves again"
    state = json.loads(site.command("status", "-c", "site.yaml", "--json").stdout)
    assert re.search(TOLD, json.dumps(state).replace("\\\\", "\\"))
    request = re.search(r"reload failed .* request=(\S+)", site.log)[1]
    assert re.search(TOLD, site.command("why", "-c", "site.yaml", request).stdout)


@pytest.mark.drill
def test_not_one_of_six_good_releases_goes_back(site):
    start(site, "4s")
    with visitors(site) as load:
        is_busy(load)
        for release in range(6):
            site.write("app.py", CODE.replace("FAILS = 0", f"FAILS = 1  # release {release}"))
            site.reload("reload complete")
    assert not [each for each in load.broken if not each.startswith("500 ")]
    assert "reload failed" not in site.log


@pytest.mark.drill
def test_what_was_before_is_remembered_over_an_upgrade(site):
    start(site, "10s")
    with visitors(site) as load:
        is_busy(load)
        shop(site, 100)
        mark = site.mark()
        site.send(signal.SIGUSR2)
        site.wait_log(f"reload failed gen=2 .*{TOLD}", since=mark)


@pytest.mark.drill
def test_of_a_quiet_site_little_is_proved(site):
    shop(site, 0)
    start(site, "6s")
    for _ in range(300):
        site.get("/shop/1")
    shop(site, 100)
    mark = site.mark()
    site.send(signal.SIGHUP)
    site.wait_log("rolled out", since=mark)
    rolled_out = time.monotonic()
    wait_for(lambda: time.monotonic() > rolled_out + 2.5, "end of what does not count")
    for _ in range(3):
        assert site.get("/shop/1").status == 500
    site.wait_log("reload complete", since=mark)
    site.wait_log("new errors gen=2 .*it stays", since=mark)
