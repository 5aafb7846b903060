"""Workers that forge: the master lives, believes nothing of it, and replaces them; the site serves on."""

import contextlib
import http.client
import json
import os
import signal
import tempfile
from pathlib import Path

import pytest

from tests.e2e.daemon import FIXTURE_APPS, Daemon, wait_for

pytestmark = pytest.mark.drill

BROKEN = [
    "started",
    "ready",
    "boot",
    "empty",
    "large",
    "deep",
    "flood",
    "incidents",
    "leaks",
    "field",
    "answers",
]


@pytest.fixture(scope="module")
def site():
    """Where we are root its workers are not: root may say to be any process (unix(7), SCM_CREDENTIALS)."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        site = Daemon(Path(folder))
        site.write("app.py", (FIXTURE_APPS / "e2e_forging.py").read_text())
        more = {"user": "nobody"} if os.geteuid() == 0 else {}
        site.site(workers=2, threads=4, **more)
        try:
            site.start()
            settled(site)
            site.held = min(descriptors(site) for _ in range(20))  # some are open for a moment
            yield site
        finally:
            site.clean_up()


def ask(site, name):
    """What the application says of it, where its worker lives long enough."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        return site.get(f"/{name}").text
    return ""


def descriptors(site):
    return len([*Path(f"/proc/{site.pid}/fd").iterdir()])


def settled(site):
    """The two workers, once both serve and the master has closed what belonged to others."""
    site.wait_workers(2)
    wait_for(lambda: ask(site, "") in map(str, site.workers()), "answer")
    return set(site.wait_workers(2))


@pytest.mark.parametrize("forgery", BROKEN)
def test_who_says_what_it_cannot_is_replaced(site, forgery):
    before, mark = settled(site), site.mark()
    ask(site, forgery)
    pid = int(site.wait_log(r"error .*pid=(\d+) impossible message reason=", mark)[1])
    assert pid in before
    site.wait_log(rf"error .*pid={pid} died how=.signal 9 \(SIGKILL\).* next=.replaced", mark)
    wait_for(lambda: pid not in (now := site.workers()) and len(now) == 2, "replacement")
    wait_for(lambda: descriptors(site) == site.held, "descriptors as before")
    assert "\x1b" not in site.log
    assert "error in the master" not in site.log


def test_who_shuts_its_channel_and_goes_on_is_replaced(site):
    before, mark = settled(site), site.mark()
    ask(site, "shut-write")
    match = site.wait_log(r"pid=(\d+) killed reason=.closed its channel but keeps running", mark)
    assert int(match[1]) in before
    wait_for(lambda: int(match[1]) not in (now := site.workers()) and len(now) == 2, "replacement")
    wait_for(lambda: descriptors(site) == site.held, "descriptors as before")


def test_nobody_speaks_for_a_worker_but_itself(site):
    settled(site)
    mark = site.mark()
    ask(site, "child")
    site.wait_log(r"impossible message reason=.Recycle from process \d+", mark)


def test_descriptors_do_not_pile_up(site):
    """Newer kernels refuse them for us, others let go of them."""
    settled(site)
    ask(site, "descriptors")
    settled(site)
    wait_for(lambda: descriptors(site) == site.held, "descriptors as before")


@pytest.mark.parametrize("forgery", ["shrink", "scribble"])
def test_the_scoreboard_may_say_anything(site, forgery):
    settled(site)
    said = ask(site, forgery)
    assert "PermissionError" in said or forgery == "scribble"
    status = site.command("status", "--json")
    assert status.returncode in (0, 1), status.stderr  # it may say of itself that it is not healthy
    assert json.loads(status.stdout)["totals"]["requests"] < 1000
    shown = site.command("status")
    assert (shown.returncode, shown.stderr) == (status.returncode, "")
    assert {site.get().status for _ in range(10)} == {200}
    mark = site.mark()
    site.send(signal.SIGKILL, site.mold())
    site.wait_log("mold ready", mark)


@pytest.mark.parametrize("forgery", ["shut-read", "shut-write", "shut", "close"])
def test_nobody_holds_up_a_stop(daemon, forgery):
    """timeouts.graceful is 30 seconds."""
    daemon.write("app.py", (FIXTURE_APPS / "e2e_forging.py").read_text())
    daemon.site(workers=1, threads=4)
    daemon.start()
    ask(daemon, forgery)
    assert daemon.stop() == 0
    assert "not drained" not in daemon.log


IMPORTS = """
    import os, time
    for word in %r:
        os.write(3, word)
    time.sleep(%d)
    def app(environ, start_response):
        start_response("200 OK", [])
        return [b""]
"""


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([b'{"type":"loaded","seconds":1}'] * 2, "Loaded after ready"),
        ([b'{"type":"forkfailed","slot":0,"reason":"x"}'], "ForkFailed after nothing"),
        ([b'{"type":"started","pid":1}'], "Started after nothing"),
    ],
    ids=["Loaded", "ForkFailed", "Started"],
)
def test_a_mold_that_says_what_it_cannot_does_not_take_over(daemon, words, reason):
    """Before its import has ended: after it, it can be forked meanwhile."""
    daemon.write("app.py", IMPORTS % (words, 0))
    daemon.site(workers=1, preload=True)
    daemon.start(ready=False)
    assert daemon.wait_exit() == 3
    assert f'impossible message reason="{reason}" next="the mold is killed"' in daemon.log


def test_a_mold_that_says_it_has_failed_and_goes_on_is_ended(daemon):
    daemon.write("app.py", IMPORTS % ([b'{"type":"loadfailed","reason":"so it says"}'], 60))
    daemon.site(workers=1, preload=True)
    daemon.start(ready=False)
    assert daemon.wait_exit() == 3
    assert "so it says" in daemon.log
