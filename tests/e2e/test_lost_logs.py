"""Log files that nobody can write any more, or that nobody can open: who started the site finds it on stderr,
once; the site serves on, and what is lost is counted.
"""

import re
import shutil
import signal
import socket

import pytest

from tests.e2e.daemon import FIXTURE_APPS, wait_for
from tests.e2e.wire import Wire

pytestmark = pytest.mark.drill


def text(path):
    return path.read_text() if path.exists() else ""


class Site:
    """Its logs are in a folder of their own; what the daemon's own stderr has is `stderr`."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.folder = daemon.folder / "logs"
        self.folder.mkdir()

    def begin(self, error="logs/error.log", access="logs/access.log", **log):
        self.log = {"error": error, "access": access, **log}
        self.daemon.site(**self.keys())
        self.daemon.start(ready=False)
        self.path = self.daemon.folder / "site.sock"
        wait_for(lambda: self.ask() == 200, "answer", context=lambda: self.stderr)

    def keys(self):
        return {
            "app": "e2e_says:app",
            "bind": "unix:site.sock",
            "chdir": str(FIXTURE_APPS),
            "workers": 1,
            "log": self.log,
        }

    @property
    def stderr(self):
        return self.daemon.log

    def wait_stderr(self, pattern):
        return wait_for(lambda: re.search(pattern, self.stderr), pattern, context=lambda: self.stderr)

    def ask(self, path="/"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(60)
            if sock.connect_ex(str(self.path)):
                return None
            return Wire(sock).ask(path).status

    def error_log(self):
        return text(self.folder / "error.log")


@pytest.fixture
def site(daemon):
    return Site(daemon)


def test_a_folder_that_is_gone_and_comes_back(site):
    site.begin()
    shutil.rmtree(site.folder)
    site.daemon.send(signal.SIGUSR1)
    said = site.wait_stderr("error .*log files not reopened .*")[0]
    assert f"the folder {site.folder} does not exist" in said
    assert [site.ask(), site.ask("/fails")] == [200, 500]
    site.wait_stderr('worker=1 .*access log failed reason="its file was removed"')
    site.wait_stderr('worker=1 .*error log failed reason="its file was removed"')
    site.folder.mkdir()
    site.wait_stderr("log files reopened gen=1")  # without another signal
    assert site.ask() == 200
    wait_for(lambda: "access log dropped lines=" in site.error_log(), "count", context=site.error_log)
    dropped = re.findall("error log dropped lines=(\\d+)", site.error_log())
    assert len(dropped) == 2, "of master and worker"
    wait_for(lambda: text(site.folder / "access.log").count(" 200 "), "a line in the new file")
    site.wait_stderr("worker=1 .*access log dropped lines=")
    site.wait_stderr("worker=1 .*error log works again dropped=")
    assert site.daemon.stop() == 0
    assert len(re.findall("log files not reopened", site.stderr)) == 1
    assert len(re.findall("error log failed", site.stderr)) == 2, "of master and worker"


def test_each_signal_is_answered(site):
    site.begin()
    shutil.rmtree(site.folder)
    for times in (1, 2):
        site.daemon.send(signal.SIGUSR1)
        wait_for(lambda: site.stderr.count("log files not reopened") == times, "answer")  # noqa: B023
    site.folder.mkdir()
    site.daemon.send(signal.SIGUSR1)
    wait_for(lambda: "log files reopened" in site.error_log(), "new error log")
    assert site.daemon.stop() == 0


def test_a_file_that_somebody_removes_is_missed_without_a_signal(site):
    site.begin(access="off")
    (site.folder / "error.log").unlink()
    assert {site.ask("/fails") for _ in range(20)} == {500}
    said = site.wait_stderr("worker=1 .*error log failed.*")[0]
    assert said.endswith('reason="its file was removed" next="lines are dropped until it works"')
    assert site.daemon.stop() == 0
    counted = sum(map(int, re.findall("error log dropped lines=(\\d+)", site.stderr)))
    assert counted >= 20, "the end tells what no log has told"
    assert site.stderr.count("error log failed") == 2, "master and worker, each once"


def test_a_disk_that_is_full(site):
    site.begin(error="/dev/full", access="/dev/full")
    site.wait_stderr('master=.*error log failed reason="No space left on device"')
    assert {site.ask() for _ in range(20)} == {200}
    site.wait_stderr('worker=1 .*access log failed reason="No space left on device"')
    assert site.daemon.stop() == 0
    assert site.stderr.count("access log failed") == 1


def test_a_reload_whose_log_folder_is_gone(site):
    site.begin()
    shutil.rmtree(site.folder)
    done = site.daemon.command("reload", "--wait", "-c", "site.yaml")
    assert done.returncode == 1
    assert f"log: {site.folder}/error.log: the folder {site.folder} does not exist" in done.stderr
    said = site.wait_stderr("error .*reload failed .*")[0]
    assert said.endswith('next="generation 1 goes on serving"')
    assert site.ask() == 200
    site.folder.mkdir()
    done = site.daemon.command("reload", "--wait", "-c", "site.yaml")
    assert done.returncode == 0, done.stderr
    assert site.ask() == 200
    assert "reload complete" in site.error_log()
    assert site.daemon.stop() == 0


@pytest.mark.parametrize("key", ["error", "access"])
def test_a_reload_with_a_log_that_cannot_be_opened(site, key):
    site.begin()
    site.log[key] = "nowhere/new.log"
    site.daemon.site(**site.keys())
    done = site.daemon.command("reload", "--wait", "-c", "site.yaml")
    assert done.returncode == 1
    assert f"the folder {site.daemon.folder}/nowhere does not exist" in done.stderr
    assert "reload failed" in site.error_log()
    site.wait_stderr("reload failed")
    assert site.ask() == 200
    assert site.daemon.stop() == 0


def test_what_goes_to_stderr_anyway_is_said_there_once(site):
    site.begin(error="-", access="logs/access.log")
    shutil.rmtree(site.folder)
    site.daemon.send(signal.SIGUSR1)
    site.wait_stderr("log files not reopened")
    site.folder.mkdir()
    site.wait_stderr("log files reopened")
    assert site.daemon.stop() == 0
    assert site.stderr.count("log files not reopened") == site.stderr.count("log files reopened") == 1
