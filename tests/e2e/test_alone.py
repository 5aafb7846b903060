"""`rollout: {overlap: no}`: applications of which there may only be one."""

import contextlib
import http.client
import signal

import pytest

from tests.e2e.daemon import wait_for
from tests.e2e.load import Load

pytestmark = pytest.mark.drill

APP = """
    import fcntl, os, time
    lock = open("{folder}/lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with open("{folder}/imports", "a") as imports:
        imports.write("{name}\\n")
    {before}
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            time.sleep(1)
        {inside}
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"{name}"]
"""
ALONE = {"overlap": False, "confirm": "200ms"}


@pytest.fixture(params=["auto", True, False], ids=["auto", "preload", "import per worker"])
def site(daemon, request):
    daemon.keys = {"chdir": "current", "workers": 1, "preload": request.param, "log": {"access": "off"}}
    write(daemon, "one")
    daemon.site(rollout=ALONE, **daemon.keys)
    daemon.start()
    return daemon


def write(site, name, before="", inside="pass"):
    """A release, and `current` leads to it."""
    code = APP.format(folder=site.folder, name=name, before=before, inside=inside)
    site.write(f"releases/{name}/app.py", code)
    (site.folder / "next").symlink_to(site.folder / "releases" / name)
    (site.folder / "next").rename(site.folder / "current")


def test_a_reload_stops_first_and_refuses_nobody(site):
    write(site, "two")
    with Load(site.address, clients=3) as kept, Load(site.address, clients=3, keep_alive=False) as new:
        site.reload()
        assert kept.bodies_from_now() | new.bodies_from_now() == {b"two"}
    assert kept.broken == new.broken == []
    assert (site.folder / "imports").read_text() == "one\ntwo\n"


def test_requests_in_hand_are_answered(site):
    write(site, "two")
    with Load(site.address, clients=3, path="/slow") as load:
        wait_for(lambda: len(load.answers) >= 3)
        site.reload()
    assert load.broken == []
    assert {answer.body for answer in load.answers} == {b"one", b"two"}


def test_a_mold_without_locks_stays_to_go_back_to(daemon):
    """Then the old generation comes back although the disk has nothing of it any more."""
    daemon.write("app.py", "def app(e, s):\n    s('200 OK', [])\n    return [b'one']\n")
    daemon.site(workers=1, preload=True, rollout=ALONE)
    daemon.start()
    daemon.write("app.py", "import nowhere")
    daemon.reload("reload failed.*nowhere")
    assert daemon.get().text == "one"


@pytest.mark.parametrize("code", ["raise RuntimeError('broken')", "os._exit(5)", "import nowhere"])
def test_what_fails_gives_way_to_the_old_one(site, code):
    write(site, "two", code)
    with Load(site.address, clients=3, keep_alive=False) as load:
        done = site.command("reload", "--wait", "-c", "site.yaml")
        assert done.returncode == 1, done
        site.wait_log('next="generation 1 is started again"')
        assert load.bodies_from_now() == {b"one"}
    assert load.broken == []
    write(site, "three")
    site.reload()
    assert site.get().text == "three"


def test_crashes_of_the_new_one_lead_back(site):
    write(site, "two", inside="os._exit(7)")
    site.site(rollout={**ALONE, "confirm": "20s"}, **site.keys)  # three of them take their time
    site.send(signal.SIGHUP)
    site.wait_log(r"worker=1 gen=2 pid=\d+ serving")
    for _ in range(3):
        with contextlib.suppress(OSError, http.client.HTTPException):
            site.get()
    site.wait_log("reload failed")
    assert site.get().text == "one"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_that_ends_is_replaced(site, how):
    (before,) = site.wait_workers(1)
    site.send(how, before)
    wait_for(lambda: site.workers() not in ([], [before]), "a new worker", context=lambda: site.log)
    assert site.get().text == "one"


def test_recycling_stops_first(daemon):
    write(daemon, "one")
    daemon.site(chdir="current", workers=1, preload=False, rollout=ALONE, requests={"max": 20})
    daemon.start()
    with Load(daemon.address, clients=2, keep_alive=False) as load:
        daemon.wait_log(r"(?s)(to be recycled.*){3}")
    assert load.broken == []
    assert "LockError" not in daemon.log
    assert "BlockingIOError" not in daemon.log


def test_a_lost_mold_is_replaced_by_one_that_imports_nothing(site):
    (worker,) = site.wait_workers(1)
    (mold,) = (child.pid for child in site.children() if child.pid != worker)
    mark = site.mark()
    site.send(signal.SIGKILL, mold)
    site.wait_log("mold ready", since=mark)
    site.send(signal.SIGKILL, worker)
    wait_for(lambda: site.workers() not in ([], [worker]), "a new worker", context=lambda: site.log)
    assert site.get().text == "one"
    assert "BlockingIOError" not in site.log


@pytest.mark.parametrize("site", ["auto", True], indirect=True, ids=["auto", "preload"])
def test_another_reload_while_nobody_serves(site):
    """Not with an import per worker: then the mold has loaded nothing, and the roll-out has begun."""
    write(site, "two", "time.sleep(60)")
    site.send(signal.SIGHUP)
    site.wait_log("making room")
    wait_for(lambda: "two" in (site.folder / "imports").read_text(), context=lambda: site.log)
    write(site, "three")
    site.reload()
    assert site.get().text == "three"


def test_stop_while_nobody_serves(site):
    write(site, "two", "time.sleep(60)")
    site.send(signal.SIGHUP)
    wait_for(lambda: "two" in (site.folder / "imports").read_text(), context=lambda: site.log)
    assert site.stop() == 0


def test_an_upgrade(site):
    write(site, "two")
    assert site.command("upgrade", "--wait", "-c", "site.yaml").returncode == 0, site.log
    assert site.get().text == "two"


class TestTheProposal:
    def test_a_reload_that_fails_on_its_own_lock(self, daemon):
        write(daemon, "one")
        daemon.site(chdir="current", workers=1, preload=False)
        daemon.start()
        write(daemon, "two")
        done = daemon.command("reload", "--wait", "-c", "site.yaml")
        assert done.returncode == 1
        assert "rollout: {overlap: no}" in done.stderr
        assert "rollout: {overlap: no}" in daemon.log
        daemon.site(chdir="current", workers=1, preload=False, rollout=ALONE)
        daemon.reload()
        assert daemon.get().text == "two"

    @pytest.mark.parametrize("preload", [True, False], ids=["preload", "import per worker"])
    def test_a_lock_that_is_waited_for(self, daemon, preload):
        write(daemon, "one")
        daemon.site(chdir="current", workers=1, preload=preload)
        daemon.start()
        daemon.site(chdir="current", workers=1, preload=preload, timeouts={"boot": "15s"})
        write(daemon, "two")
        app = daemon.folder / "releases/two/app.py"
        app.write_text(app.read_text().replace(" | fcntl.LOCK_NB", ""))
        done = daemon.command("reload", "--wait", "-c", "site.yaml")
        assert done.returncode == 1
        assert "it is waiting for a file lock; the running generation may hold it" in done.stderr

    def test_two_workers_of_one_generation(self, daemon):
        write(daemon, "one")
        daemon.site(chdir="current", workers=2, preload=False)
        daemon.start(ready=False)
        daemon.wait_log("set `workers: 1`")

    def test_a_stranger_holds_it(self, daemon):
        """At the first start there is nothing to propose."""
        write(daemon, "one", "raise BlockingIOError(11, 'held')")
        daemon.site(chdir="current", workers=1)
        daemon.start(ready=False)
        assert daemon.wait_exit() == 3
        assert "overlap" not in daemon.log
