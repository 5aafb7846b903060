"""Whoever reads the logs stops reading: the site serves on and stops as asked, and the lines are counted."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading

import pytest

from tests.e2e.daemon import COMMAND, DEADLINE, FIXTURE_APPS, wait_for
from tests.e2e.wire import Wire

pytestmark = pytest.mark.drill


def pair(kind):
    """Descriptors of a reader and of a writer."""
    if kind == "terminal":
        return os.openpty()
    if kind == "pipe":
        return os.pipe()
    reader, writer = (sock.detach() for sock in socket.socketpair())
    return reader, writer


class Site:
    """A daemon whose stdout and stderr are read only when the test wants it."""

    def __init__(self, daemon, kind):
        self.daemon = daemon
        self.reader, writer = pair(kind)
        daemon.site(app="e2e_loud:app", bind="unix:site.sock", chdir=str(FIXTURE_APPS), threads=2, workers=2)
        daemon.process = subprocess.Popen(
            [*COMMAND, "-c", "site.yaml"],
            cwd=daemon.folder,
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=writer,
            env=daemon.environ,
        )
        self.blocking = os.get_blocking(writer)
        os.close(writer)
        self.said = ""
        self.path = daemon.folder / "site.sock"
        wait_for(self.is_there, "socket", context=self.read)

    def is_there(self):
        with socket.socket(socket.AF_UNIX) as sock:
            return sock.connect_ex(str(self.path)) == 0

    def read(self):
        """What is there by now."""
        os.set_blocking(self.reader, False)
        with contextlib.suppress(OSError):  # nothing yet; a terminal that nobody has any more
            while said := os.read(self.reader, 1 << 16):
                self.said += said.decode()
        return self.said

    def ask(self, path):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(DEADLINE)
            sock.connect(str(self.path))
            return Wire(sock).ask(path).status

    def ask_from_all_sides(self, path, times):
        """As often from each of four clients at once."""
        statuses = []
        clients = [
            threading.Thread(target=lambda: statuses.extend(self.ask(path) for _ in range(times)))
            for _ in range(4)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        return statuses


@pytest.fixture(params=["socket", "pipe", "terminal"])
def site(request, daemon):
    made = Site(daemon, request.param)
    yield made
    daemon.clean_up()
    os.close(made.reader)


def test_requests_go_on_and_the_lines_are_counted(site):
    assert site.ask_from_all_sides("/loud", 8) == [200] * 32
    wait_for(
        lambda: re.search(r"error log dropped lines=\d+ reason=\"nobody reads it\"", site.read()), "count"
    )
    assert site.ask("/") == 200
    wait_for(lambda: re.search(r"HTTP/1.1\" 200[^\n]*\n", site.read()), "access log")
    assert site.blocking, "the descriptor is shared with others"
    site.daemon.send(signal.SIGTERM)
    wait_for(lambda: "stopped exit_code=0" in site.read(), "last line", context=site.read)
    assert site.daemon.wait_exit() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_it_stops_as_asked(site, number):
    assert site.ask_from_all_sides("/loud", 8) == [200] * 32
    assert site.daemon.stop(number) == 0


def test_a_worker_that_crashes_is_replaced(site):
    """It writes its stacks before, in the handler of a signal."""
    assert site.ask_from_all_sides("/loud", 8) == [200] * 32
    before = site.daemon.wait_workers(2)
    site.daemon.send(signal.SIGSEGV, before[0])
    wait_for(lambda: set(site.daemon.workers()) - set(before), "replacement")
    wait_for(lambda: "Fatal Python error: Segmentation fault" in site.read(), "stacks")
    wait_for(lambda: "died how=" in site.read(), "what follows")
    assert site.said.index("Fatal Python error") < site.said.index("died how=")


def test_the_master_hears_who_reloads(site):
    assert site.ask_from_all_sides("/loud", 8) == [200] * 32
    done = site.daemon.command("reload", "--wait", "-c", "site.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.ask("/") == 200
