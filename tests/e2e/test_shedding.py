"""More comes than can be answered: who is refused, and what is said of it.

The slow pages wait until the test lets them go on, so that all threads are taken for as long as it wants.
"""

import contextlib
import json

import pytest

from tests.e2e.daemon import IN_ALL_MODELS, wait_for
from tests.e2e.load import ClientThreads
from tests.e2e.wire import Wire, request
from tests.tools import readable

APP = """
    import time

    def app(environ, start_response):
        name = environ["QUERY_STRING"]
        with open("begun", "a") as file:
            file.write(name + "\\n")
        if environ["PATH_INFO"] == "/slow":
            while not __import__("os").path.exists("go"):
                time.sleep(0.01)
        elif environ["PATH_INFO"] == "/page":
            time.sleep(0.1)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(name)))])
        return [name.encode()]
"""


class Site:
    """One worker with two threads."""

    def __init__(self, daemon, stack):
        self.daemon = daemon
        self._stack = stack

    def start(self, policy="fair", age="200ms", **keys):
        self.daemon.write("app.py", APP)
        timeouts = {"queue": "5m", "request": "10m"}  # whatever else the machine does
        limits = {"queue_age": age}
        self.daemon.site(workers=1, threads=2, queue=policy, limits=limits, timeouts=timeouts, **keys)
        self.daemon.start()
        return self

    def ask(self, *targets):
        """Send requests on one connection, and do not wait for their answers."""
        wire = self._stack.enter_context(Wire(self.daemon.connect()))
        wire.send(b"".join(map(request, targets)))
        return wire

    def take_threads(self):
        wires = [self.ask("/slow?A"), self.ask("/slow?B")]
        wait_for(lambda: len(self.begun) == 2, "both in hand", context=lambda: self.daemon.log)
        return wires

    def release(self):
        (self.daemon.folder / "go").touch()

    @property
    def begun(self):
        file = self.daemon.folder / "begun"
        return file.read_text().split() if file.exists() else []

    @property
    def totals(self):
        return json.loads(self.daemon.command("status", "-c", "site.yaml", "--json").stdout)["totals"]

    def until_one_is_shed(self):
        """Keep asking on new connections until one is refused; returns its connection and answer, and those
        that wait."""
        waiting = []

        def refused():
            wire = self.ask("/slow?W")
            if readable(wire.sock, 0.05):
                return wire, wire.answer()
            return waiting.append(wire)

        wire, answer = wait_for(refused, "refusal", context=lambda: self.daemon.log)
        return wire, answer, waiting


@pytest.fixture
def site(daemon):
    with contextlib.ExitStack() as stack:
        yield Site(daemon, stack)


@pytest.mark.parametrize("policy", ["fair", "fifo"])
@pytest.mark.drill
def test_a_standing_queue_is_shed_and_said(site, policy):
    site.start(policy)
    holding = site.take_threads()
    wire, answer, waiting = site.until_one_is_shed()
    assert answer.status == 503
    assert 1 <= int(answer.fields["retry-after"]) <= 60
    assert "connection" not in answer.fields, "it goes on"
    site.daemon.wait_log(r"requests shed .*GET /slow.*limits\.queue_age 200ms.*next=")
    assert "queue_age" in site.daemon.command("why", "-c", "site.yaml").stdout
    wait_for(lambda: site.totals["shed"] >= 1, "count")
    assert site.totals["shed"] <= site.totals["refused"]["503"]
    site.release()
    for name, each in zip("AB", holding, strict=True):
        assert each.answer().body.decode() == name
    assert wire.ask("/quick?Q").body == b"Q", "the connection of one that was refused is as good as any"
    served = [each.answer().status for each in waiting]
    assert 200 in served, "one of them stays"
    site.daemon.wait_log("requests no longer shed .*refused=")


class Clients(ClientThreads):
    """So many that ask for a page of 100 ms again and again, and note what they are answered."""

    def __init__(self, site, count):
        super().__init__(site.daemon.address, count)
        self.site = site
        self.statuses = []

    def _ask(self, number):
        with Wire(self.site.daemon.connect()) as wire:
            while not self._stop.is_set():
                self.statuses.append(wire.ask("/page?p").status)


@IN_ALL_MODELS
def test_more_clients_than_can_be_in_time_are_shed_and_the_others_served(site):
    site.start(age="300ms")
    with Clients(site, 24) as clients:
        wait_for(lambda: clients.statuses.count(503) >= 20, "refusals", context=lambda: site.daemon.log)
        before = clients.statuses.count(200)
        wait_for(lambda: clients.statuses.count(200) >= before + 10, "answers")
    assert set(clients.statuses) == {200, 503}
    assert wait_for(lambda: site.daemon.get("/page?last").status == 200, "an answer once they have gone")
