"""What `superwsgi status` says while something is wrong: the truth, why, and in its exit code."""

import contextlib
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
from datetime import datetime, timedelta, timezone
from fcntl import ioctl

import msgspec
import pytest

from superwsgi.cli.server.reach import Conversation
from superwsgi.control import StatusRequest
from tests.certificates import Authority
from tests.e2e.daemon import COMMAND, FIXTURE_APPS, dying, heed_interrupts, wait_for
from tests.tools import readable

pytestmark = pytest.mark.drill

ESCAPE = "\x1b"


@pytest.fixture
def site(daemon):
    """Its pages wait for the file `go`, or compute without end."""

    def start(**keys):
        daemon.write("app.py", (FIXTURE_APPS / "e2e_stuck.py").read_text())
        daemon.site(**{"workers": 1, "threads": 1, **keys})
        return daemon.start()

    return start


def look(site, **asked):
    """What --json has, at once: a command takes its time to start."""
    with Conversation(site.folder / "control.sock") as master:
        return msgspec.to_builtins(next(master.ask(StatusRequest(**asked))))


def wait_status(site, condition, what):
    """The first snapshot of which the condition is true."""
    return wait_for(lambda: s if condition(s := look(site)) else None, what, context=lambda: str(look(site)))


@contextlib.contextmanager
def asked(site, path):
    """A connection that has asked for it, and is not answered yet."""
    with contextlib.closing(site.client()) as client:
        client.request("GET", path, headers={"X-Request-ID": "from-a-proxy-1"})
        yield client


def test_a_site_of_which_nothing_is_wrong(site):
    site = site(workers=2)
    site.get()
    wait_status(
        site, lambda s: s["totals"]["requests"] == 1, "the request"
    )  # its client has its answer before
    said = json.loads(site.command("status", "--json").stdout)
    assert (said["health"], said["reasons"], said["serving"], said["phase"]) == ("healthy", [], 2, "running")
    assert said["minute"]["requests"] == said["totals"]["requests"] == sum(said["totals"]["latency"]) == 1
    shown = site.command("status")
    assert (shown.returncode, shown.stdout.split(", ")[0]) == (0, "site: healthy")


def test_clients_who_get_503(site):
    """30 of 30, since the only thread is taken, and none may wait."""
    site = site(limits={"queue": 0})
    with asked(site, "/wait") as slow:
        wait_status(site, lambda s: s["threads"]["busy"] == 1, "a busy thread")
        assert {site.get().status for _ in range(30)} == {503}
        said = wait_status(site, lambda s: s["totals"]["refused"] == {"503": 30}, "all in the counts")
        assert said["minute"]["refused"] == {"503": 30}
        assert said["health"] == "degraded"
        assert re.match("30 of 30 requests answered 503 in the last [0-9m.]+s: none of", said["reasons"][0])
        shown = site.command("status")
        assert shown.returncode == 1
        assert "ready" not in shown.stdout
        assert "\nrefused: 30 with 503 (no free thread)\n" in shown.stdout
        site.write("go", "")
        assert slow.getresponse().status == 200


def test_a_request_that_loops_without_end(site):
    """After its 504 it is in no client's hands, but its thread burns CPU until its worker is replaced."""
    site = site(timeouts={"request": "4s"})
    assert site.get("/loop").status == 504
    said = wait_status(site, lambda s: s["threads"]["abandoned"], "an abandoned thread")
    worker = said["workers"][0]
    assert worker["cpu"] > 0.02  # as much as others leave it
    assert (worker["threads"]["abandoned"], worker["in_flight"], said["threads"]["abandoned"]) == (1, 0, 1)
    assert said["health"] == "degraded"
    assert any(re.match(r"worker 1: 1 thread is still .* 504, CPU \d+", why) for why in said["reasons"])
    assert any("answered 504 in the last" in why for why in said["reasons"])
    site.wait_log(" ended reason=")
    wait_status(site, lambda s: s["workers"][0]["last_death"] is not None, "its recycling")
    assert " ago: recycled: " in site.command("status").stdout


def test_a_worker_that_a_signal_has_stopped(site):
    site = site(workers=2)
    site.send(signal.SIGSTOP, site.workers()[0])
    said = wait_status(site, lambda s: s["serving"] == 1, "only one that serves")
    assert said["health"] == "degraded"
    assert re.match(r"worker \d has been stopped by a signal for ", said["reasons"][0])
    wait_status(site, lambda s: s["health"] == "healthy", "health, once it is replaced")


def test_workers_that_die_and_die(daemon):
    daemon.write("app.py", dying(1))
    daemon.site(workers=1)
    daemon.start(ready=False)
    daemon.wait_log("in 400ms")
    said = wait_status(daemon, lambda s: not s["serving"], "a moment when none serves")
    assert said["health"] == "down"
    assert said["reasons"][0] == "1 worker is missing: crash loop, they die right after their start"
    assert daemon.command("status").returncode == 1


def test_the_requests_that_run(site):
    site = site(threads=2)
    with asked(site, "/wait?for=it") as slow:
        wait_status(site, lambda s: s["threads"]["busy"] == 1, "a busy thread")
        (running,) = look(site, requests=True)["running"]
        wanted = {"worker": 1, "method": "GET", "target": "/wait?for=it", "id": "from-a-proxy-1"}
        assert wanted.items() <= running.items()
        assert 0 <= running["seconds"] < 60, "of when the master began to answer"
        assert (running["pid"], look(site)["running"]) == (site.workers()[0], None)
        first, _, columns, row = site.command("status", "--requests").stdout.splitlines()
        assert first == "site: 1 of 2 threads busy"
        assert columns.split() == ["since", "worker", "thread", "id", "request"]
        assert row.endswith("from-a-proxy-1  GET /wait?for=it")
        site.write("go", "")
        assert slow.getresponse().status == 200


def test_a_certificate_that_expires_soon_and_one_that_has(daemon):
    ca = Authority(daemon.folder)
    daemon.write("app.py", (FIXTURE_APPS / "e2e_stuck.py").read_text())
    for days, line, code in (9.5, "warning: 9 days left", 0), (-2.5, "warning: expired 2 days ago", 1):
        pair = ca.pair("localhost", not_after=datetime.now(timezone.utc) + timedelta(days=days))
        tls = {"certificate": str(pair.certificate), "key": str(pair.key)}
        daemon.site(bind="https://127.0.0.1:0", tls=tls)
        if code:
            daemon.reload()
        else:
            daemon.start()
        shown = daemon.command("status")
        assert (f"\ncertificate: {line}, {pair.certificate}\n" in shown.stdout, shown.returncode) == (
            True,
            code,
        )
        assert bool(code) == ("  a certificate expired 2d12h ago\n" in shown.stdout)


class Watched:
    """`superwsgi status --watch`, with its output as far as it has come."""

    def __init__(self, site, output, *options):
        self.text = ""
        self._read = output[0]
        self.process = subprocess.Popen(
            [*COMMAND, "status", "--control", "control.sock", *options],
            cwd=site.folder,
            env={**site.environ, "TERM": "xterm"},
            stdin=subprocess.DEVNULL,
            stdout=output[1],
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=heed_interrupts,
        )
        os.close(output[1])

    def wait(self, pattern, count=1):
        """Until it has been said so often since the last time; returns what was."""

        def said():
            while readable(self._read, 0):
                self.text += os.read(self._read, 65536).decode()
            return len(re.findall(pattern, self.text)) >= count

        wait_for(said, f"{count} times {pattern!r}", context=lambda: self.text)
        said, self.text = self.text, ""
        return said

    def interrupt(self):
        """As Ctrl-C. Its exit code, and what is on stderr."""
        self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        os.close(self._read)


@pytest.fixture
def watched():
    """Start watching; ended with the test."""
    with contextlib.ExitStack() as stack:

        def start(*arguments):
            begun = Watched(*arguments)
            stack.callback(begun.close)
            return begun

        yield start


def test_watching_a_site_through_a_pipe_whatever_becomes_of_its_master(site, watched):
    site = site()
    view = watched(site, os.pipe(), "--watch")
    assert ESCAPE not in view.wait(r"(?m)^site: healthy", 2)
    site.send(signal.SIGUSR2)
    site.wait_log("program replaced")
    site.wait_log("reload complete")
    view.wait("site: healthy, generation 2")
    site.stop()
    view.wait("no master answers at control.sock")
    site.start()
    assert ESCAPE not in view.wait("site: healthy, generation 1")
    assert view.interrupt() == (0, b"")


def test_watching_on_a_terminal(site, watched):
    """It has 80 columns and 24 lines."""
    site = site(workers=2)
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    view = watched(site, (master, slave), "--watch", "2")
    frames = view.wait(r"(?s)\x1b\[H.*?total: ", 2).split("\x1b[H")
    lines = re.sub(r"\x1b\[[KJ]", "", frames[1]).splitlines()
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80
    assert view.interrupt() == (0, b"")


def test_watching_as_json(site, watched):
    site = site()
    view = watched(site, os.pipe(), "--watch=1", "--json")
    lines = view.wait(r"\n", 2).splitlines()
    assert {json.loads(line)["health"] for line in lines[:2]} == {"healthy"}
    began = time.monotonic()
    assert view.interrupt()[0] == 0
    assert time.monotonic() - began < 20
