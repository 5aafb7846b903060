"""The master as process 1, as in a container."""

import contextlib
import signal
import subprocess

import psutil
import pytest

from tests.e2e.daemon import COMMAND, wait_for

pytestmark = pytest.mark.drill

UNSHARE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]

APP = """
    import os, signal
    def app(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/stranger" and os.fork() == 0:
            if os.fork() == 0:
                open("stranger", "w").close()
            os._exit(5)
        if path == "/init":
            os.kill(1, signal.SIGUSR1)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{os.getppid()} {os.getpid()}".encode()]
"""


def _permitted():
    try:
        return subprocess.run([*UNSHARE, "true"], capture_output=True, timeout=60).returncode == 0
    except OSError:
        return False


@pytest.fixture
def site(daemon):
    if not _permitted():
        pytest.skip("no right to make a name space of process ids")
    daemon.write("app.py", APP)
    daemon.site(workers=2)
    daemon.spawn([*UNSHARE, *COMMAND, "-c", "site.yaml"])
    return daemon


@pytest.fixture
def master(site):
    """Process 1, by its id out here."""
    (process,) = psutil.Process(site.pid).children()
    site.family.add(process)
    return process


def test_workers_are_its_children(site, master):
    wait_for(lambda: site.log.count(" serving ") == 2, "two workers")
    assert "master=1 " in site.log
    assert site.get().text.split()[0] == "1"
    assert len(master.children()) == 3


def is_zombie(process):
    with contextlib.suppress(psutil.NoSuchProcess):  # not any more
        return process.status() == psutil.STATUS_ZOMBIE
    return False


def test_it_reaps_strangers(site, master):
    for _ in range(5):
        assert site.get("/stranger").status == 200
    wait_for((site.folder / "stranger").exists, "a stranger")
    # The first of each two is the worker's child, and the application's to wait for.
    wait_for(lambda: not any(map(is_zombie, master.children())), "reaping")
    assert site.get().status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_it_stops(site, master, number):
    """Process 1 gets no signal that it has no handler for: pid_namespaces(7)."""
    site.send(number, master.pid)
    assert site.wait_exit() == 0


def test_it_obeys_signals_from_within(site, master):
    assert site.get("/init").status == 200
    site.wait_log("log files reopened")


def test_it_replaces_a_killed_worker(site, master):
    wait_for(lambda: site.log.count(" serving ") == 2, "two workers")
    mark = site.mark()
    worker = next(p for p in master.children() if "worker" in " ".join(p.cmdline()))
    site.send(signal.SIGKILL, worker.pid)
    site.wait_log(r"died how=.signal 9 \(SIGKILL\).", since=mark)
    site.wait_log("serving", since=mark)


def test_nobody_survives_it(site, master):
    family = [master, *master.children(recursive=True)]
    site.send(signal.SIGKILL, master.pid)
    site.wait_exit()
    wait_for(lambda: not any(p.is_running() for p in family), "end of all")
