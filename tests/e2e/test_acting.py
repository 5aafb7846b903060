"""Commands that act on workers and logs, as an operator gives them, under load."""

import contextlib
import re
import subprocess

import psutil
import pytest

from tests.e2e.daemon import COMMAND, wait_for
from tests.e2e.load import Load

pytestmark = pytest.mark.drill

APP = """
    import os, time

    def app(environ, start_response):
        while environ["PATH_INFO"] == "/slow" and not os.path.exists("go-on"):
            time.sleep(0.01)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(os.getpid()).encode()]
"""


@pytest.fixture
def site(daemon):
    daemon.write("app.py", APP)
    daemon.site(workers=2, name="shop", log={"access": "access.log"})
    daemon.start()
    return daemon


@contextlib.contextmanager
def asking_for_ever(site):
    """A request that lasts until there is a file `go-on`."""
    connection = site.client()
    try:
        connection.request("GET", "/slow?token=secret")
        yield connection
    finally:
        connection.close()


def succeeded(done):
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout, "no terminal"
    return done.stdout.splitlines()


def refused(done):
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


class TestRecycle:
    def test_all_lose_no_request(self, site):
        before = site.wait_workers(2)
        with Load(site.address, clients=4) as load:
            steps = succeeded(site.command("recycle", "shop", "--wait"))
            load_seen = len(load.answers)
            wait_for(lambda: len(load.answers) > load_seen + 20, "answers of the new workers")
        assert not load.broken
        assert not {*before} & {*site.wait_workers(2)}
        assert re.fullmatch("2 workers recycled, after .*", steps[-1])
        assert any(step.startswith("1 of 2 recycled; ") for step in steps)

    def test_one_says_what_it_waits_for(self, site, start_command):
        with asking_for_ever(site) as connection:
            pid = wait_for(lambda: _busy(site), "a worker with a request")
            waiting = start_command("recycle", pid, "--wait")
            answers = rf"worker \d \(pid {pid}\) answers GET /slow \S+, at most 30s \(timeouts.graceful\)\n"
            while not re.search(answers, line := waiting.stdout.readline()):
                assert line, "it has ended"
            site.write("go-on", "")
            assert connection.getresponse().status == 200
        steps, _ = waiting.communicate(timeout=60)
        assert re.search(rf"worker \d \(pid {pid}\) recycled; pid \d+ serves, after \S+\n$", steps)

    def test_without_waiting(self, site):
        (before, _) = site.wait_workers(2)
        assert len(succeeded(site.command("recycle", "1"))) == 1
        wait_for(lambda: not psutil.pid_exists(before), "end of the old worker")

    def test_no_such_worker(self, site):
        assert "no worker 7" in refused(site.command("recycle", "7"))


class TestKill:
    def test_names_what_was_in_hand_and_is_replaced(self, site):
        with asking_for_ever(site):
            pid = wait_for(lambda: _busy(site), "a worker with a request")
            steps = succeeded(site.command("kill", "shop", pid, "--wait"))
        killed = rf"worker \d \(pid {pid}\) killed, in hand: GET /slow \S+"
        assert re.fullmatch(killed, steps[0])
        assert re.fullmatch(rf"{killed}; pid \d+ serves, after .*", steps[-1])
        assert pid not in site.wait_workers(2)
        why = site.command("why", str(pid)).stdout
        assert "killed: asked for by uid" in why
        assert "1 request lost" in why


def _busy(site):
    for pid in site.wait_workers(2):
        if re.search(rf" {pid} .* 1/\d", site.command("status").stdout):
            return pid
    return None


class TestWorkers:
    def test_more_fewer_and_so_many_until_a_reload(self, site):
        for count, left in ("+1", 3), ("-2", 1), ("=4", 4):
            steps = succeeded(site.command("workers", "shop", count, "--wait"))
            assert steps[-1].startswith(f"{left} worker"), steps
            assert len(site.workers()) == left
        succeeded(site.command("workers", "-1", "-w"))
        assert site.command("reload", "--wait").returncode == 0
        assert len(site.wait_workers(2)) == 2

    def test_impossible_numbers(self, site):
        assert "at most 18" in refused(site.command("workers", "=19"))
        assert "at least one worker" in refused(site.command("workers", "=0"))
        assert len(site.workers()) == 2


class TestLogs:
    def test_are_reopened(self, site):
        site.get()
        (site.folder / "access.log").rename(site.folder / "access.log.1")
        steps = succeeded(site.command("logs", "--wait"))
        assert steps[-1].startswith("log files reopened, after ")
        site.get()
        wait_for(lambda: (site.folder / "access.log").read_text(), "line in the new file")

    def test_one_that_cannot_be(self, site):
        (site.folder / "access.log").unlink()
        (site.folder / "access.log").mkdir()
        done = site.command("logs", "--wait")
        assert done.returncode == 1
        assert "the old files stay in use, and it is tried again" in done.stderr


class TestStop:
    def test_says_what_it_waits_for_and_nothing_else_is_begun(self, site, start_command):
        with asking_for_ever(site) as connection:
            pid = wait_for(lambda: _busy(site), "a worker with a request")
            stopping = start_command("stop", "--wait")
            site.wait_log("draining|stopping")
            for command in (["recycle"], ["workers", "+1"]):
                assert "the site is being stopped" in refused(site.command(*command))
            site.write("go-on", "")
            assert connection.getresponse().status == 200
        steps, _ = stopping.communicate(timeout=60)
        assert re.search(rf"1 worker left; worker \d \(pid {pid}\) answers GET /slow ", steps)
        assert re.search(r"\nstopped, after \S+\n$", steps)
        assert site.wait_exit() == 0


def called(site, shell):
    """A command of a shell, in which `superwsgi` is "$@"."""
    return subprocess.run(
        ["/bin/sh", "-c", shell, "sh", *COMMAND],
        cwd=site.folder,
        env=site.environ,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("words", ["recycle --wait", "status", "config", "profile --seconds 1 --format html"])
def test_where_the_disk_is_full_there_is_a_message(site, words):
    done = called(site, f'"$@" {words} >/dev/full')
    said = "superwsgi: the answer cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.parametrize("words", ["recycle --wait", "status", "config"])
def test_without_an_output_it_is_done(site, words):
    done = called(site, f'"$@" {words} >&-')
    assert (done.returncode, done.stderr) == (0, "")
