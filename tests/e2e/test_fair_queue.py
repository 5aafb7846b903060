"""Requests that wait for a thread: who is next, and who is sent away, with each policy of `queue`.

Each slow page waits until the test lets it go on, through a named pipe: nothing depends on how long anything
takes, but for one page of a second, from which the worker learns that they are slow.
"""

import contextlib
import os

import pytest

from tests.e2e.daemon import wait_for
from tests.e2e.wire import Wire, request

pytestmark = pytest.mark.drill

APP = """
    import os, select, time

    def wait(gate):
        # Until it has been opened and closed; an open() that waits would keep all greenlets waiting.
        fd = os.open(gate, os.O_RDONLY | os.O_NONBLOCK)
        select.select([fd], [], [])
        os.close(fd)

    def app(environ, start_response):
        name = environ["QUERY_STRING"]
        with open("begun", "a") as file:
            file.write(name + "\\n")
        if name == "taught":
            time.sleep(1)
        elif environ["PATH_INFO"] == "/slow":
            wait(f"gate-{name}")
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(name)))])
        return [name.encode()]
"""

both = pytest.mark.parametrize("policy", ["fair", "fifo"])


class Site:
    """One worker with two threads."""

    def __init__(self, daemon, stack):
        self.daemon = daemon
        self._stack = stack

    def start(self, policy, **keys):
        self.daemon.write("app.py", APP)
        self.daemon.site(workers=1, threads=2, queue=policy, **keys)
        self.daemon.start()
        return self

    def ask(self, *targets):
        """Send requests on one connection, and do not wait for their answers."""
        for target in targets:
            if target.startswith("/slow?"):
                os.mkfifo(self._gate(target))
        wire = self._stack.enter_context(Wire(self.daemon.connect()))
        wire.send(b"".join(map(request, targets)))
        return wire

    def take_threads(self):
        """Both of them, by requests A and B; returns the connections."""
        wires = [self.ask("/slow?A"), self.ask("/slow?B")]
        self.wait_begun(2)
        return wires

    def let_through(self):
        """Until all that was sent is queued: a mistake is answered when the poller has come that far, and
        another one when what it had read by then has had its turn."""
        for _ in range(2):
            assert self.daemon.raw(b"mistake\r\n\r\n").startswith(b"HTTP/1.1 400 ")

    def release(self, name):
        """Let a slow page go on, once it has begun."""

        def opened():
            with contextlib.suppress(OSError):  # fifo(7): ENXIO as long as nobody reads
                os.close(os.open(self._gate(f"?{name}"), os.O_WRONLY | os.O_NONBLOCK))
                return True

        wait_for(opened, f"begin of {name}", context=lambda: self.daemon.log)

    @property
    def begun(self):
        """The requests that the application was called for, but for those that only taught."""
        file = self.daemon.folder / "begun"
        return [name for name in file.read_text().split() if name != "taught"] if file.exists() else []

    def wait_begun(self, count):
        wait_for(lambda: len(self.begun) >= count, f"{count} requests that begin", context=lambda: self.begun)

    def teach(self):
        """That one page is slow, and the other one is not."""
        assert self.daemon.get("/slow?taught").status == 200
        with Wire(self.daemon.connect()) as wire:
            for _ in range(70):  # one in 64 is looked at
                assert wire.ask("/quick?").status == 200

    def _gate(self, target):
        return self.daemon.folder / f"gate-{target.partition('?')[2]}"


@pytest.fixture
def site(daemon):
    with contextlib.ExitStack() as stack:
        yield Site(daemon, stack)


@pytest.mark.parametrize(
    ("daemon", "policy", "expected"),
    [
        (None, "fair", "QCDE"),
        (None, "fifo", "CDEQ"),
        ("green", "fair", "QCDE"),
    ],
    indirect=["daemon"],
)
def test_who_is_next(site, policy, expected):
    """One thread becomes free, slow C, D and E wait for it, and quick Q has come last."""
    site.start(policy).teach()
    wires = dict(zip("AB", site.take_threads(), strict=True))
    for name in "CDE":
        wires[name] = site.ask(f"/slow?{name}")
        site.let_through()
    wires["Q"] = site.ask("/quick?Q")
    site.let_through()
    for name in "ACDE":
        site.release(name)
    assert [wires[name].answer().body.decode() for name in "ACDEQ"] == list("ACDEQ")
    assert "".join(site.begun[2:]) == expected
    site.release("B")
    assert wires["B"].answer().body == b"B"


def test_a_quick_one_is_answered_while_slow_ones_wait(site):
    site.start("fair").teach()
    site.take_threads()
    site.ask("/slow?C")
    site.let_through()
    quick = site.ask("/quick?Q")
    site.let_through()
    site.release("A")
    assert quick.answer().body == b"Q"
    for name in "BC":
        site.release(name)


@both
def test_requests_of_one_connection_stay_in_order(site, policy):
    site.start(policy).teach()
    site.take_threads()
    first = site.ask("/slow?C", "/quick?Q", "/slow?D", "/quick?R")
    second = site.ask("/quick?S", "/quick?T")
    site.let_through()
    for name in "ABCD":
        site.release(name)
    assert [first.answer().body for _ in range(4)] == [b"C", b"Q", b"D", b"R"]
    assert [second.answer().body for _ in range(2)] == [b"S", b"T"]
    assert [name for name in site.begun if name in "CQDR"] == ["C", "Q", "D", "R"]


@both
def test_one_that_has_waited_too_long_gets_503(site, policy):
    site.start(policy, timeouts={"queue": "500ms"})
    holding = site.take_threads()
    for wire in (site.ask("/slow?C"), site.ask("/quick?Q")):
        answer = wire.answer()
        assert answer.status == 503
        assert "retry-after" in answer.fields
    site.daemon.wait_log("timeouts.queue")
    check_goes_on(site, holding)
    assert sorted(site.begun) == ["A", "B", "Z"]


@both
@pytest.mark.parametrize("places", [0, 1, 3])
def test_who_finds_no_place_gets_503(site, policy, places):
    site.start(policy, limits={"queue": places})
    holding = site.take_threads()
    waiting = [site.ask(f"/quick?{number}") for number in range(places)]
    site.let_through()
    for _ in range(3):
        answer = site.ask("/quick?Q").answer()
        assert answer.status == 503
        assert "retry-after" in answer.fields
    site.daemon.wait_log("limits.queue")
    check_goes_on(site, holding)
    assert [wire.answer().body for wire in waiting] == [b"%d" % number for number in range(places)]
    assert "Q" not in site.begun


def check_goes_on(site, holding):
    """Those in the application are answered, and others again."""
    for name, wire in zip("AB", holding, strict=True):
        site.release(name)
        assert wire.answer().body.decode() == name
    wait_for(
        lambda: site.daemon.get("/quick?Z").status == 200, "a free thread", context=lambda: site.daemon.log
    )


@both
def test_without_places_a_free_thread_is_never_refused(site, policy):
    site.start(policy, limits={"queue": 0})
    site.teach()
    holding = site.ask("/slow?A")
    site.wait_begun(1)
    with Wire(site.daemon.connect()) as wire:
        for _ in range(100):
            assert wire.ask("/quick?Q").status == 200
    site.release("A")
    assert holding.answer().body == b"A"
