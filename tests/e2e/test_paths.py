"""`paths` of a real site: so many requests of a rule at once, its deadline, slow mark, body and log.

Each /reports page waits until the test lets it go on, through a named pipe, as in test_fair_queue.py.
"""

import contextlib
import os
import re

import pytest

from tests.e2e.daemon import wait_for
from tests.e2e.test_fair_queue import Site
from tests.e2e.test_status import look
from tests.e2e.wire import Wire, request

APP = """
    import os, select, time

    def wait(gate):
        # Until it has been opened and closed; an open() that waits would keep all greenlets waiting.
        fd = os.open(gate, os.O_RDONLY | os.O_NONBLOCK)
        select.select([fd], [], [])
        os.close(fd)

    def app(environ, start_response):
        path, name = environ["PATH_INFO"], environ["QUERY_STRING"]
        if path.startswith("/sleep"):
            time.sleep(float(name))
        elif name.startswith("gate"):
            with open("begun", "a") as file:
                file.write(name + "\\n")
            wait(name)
        body = environ["wsgi.input"].read() if environ["REQUEST_METHOD"] == "POST" else b""
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(len(body)).encode() if body else name.encode()]
"""


class Ruled(Site):
    def start(self, paths, **keys):
        self.daemon.write("app.py", APP)
        keys = {"workers": 1, "threads": 8, **keys}
        self.daemon.site(paths=paths, **keys)
        self.daemon.start()
        return self

    def ask(self, *targets):
        """As in the base, where each page below /reports waits at a gate that is named like its query."""
        for target in targets:
            if "?gate-" in target:
                os.mkfifo(self.daemon.folder / target.partition("?")[2])
        wire = self._stack.enter_context(Wire(self.daemon.connect()))
        wire.send(b"".join(map(request, targets)))
        return wire

    @property
    def begun(self):
        file = self.daemon.folder / "begun"
        return [name.removeprefix("gate-") for name in file.read_text().split()] if file.exists() else []

    def threads(self):
        return look(self.daemon)["threads"]


@pytest.fixture
def site(daemon):
    with contextlib.ExitStack() as stack:
        yield Ruled(daemon, stack)


@pytest.mark.parametrize(
    ("daemon", "policy", "threads"),
    [
        (None, "fair", {"min": 2, "max": 8}),
        (None, "fifo", 8),
        pytest.param("green", "fair", 8, marks=pytest.mark.drill),
    ],
    indirect=["daemon"],
)
def test_two_at_once_and_others_pass(site, policy, threads):
    """And no thread is started for those that are gated."""
    site.start({"/reports": {"threads": 2}}, queue=policy, threads=threads)
    wires = {name: site.ask(f"/reports/1?gate-{name}") for name in "AB"}
    site.wait_begun(2)
    for name in "CDE":
        target = {"C": "/reports", "D": "/%72eports/x", "E": "/x/../reports"}[name]
        wires[name] = site.ask(f"{target}?gate-{name}")
        site.let_through()
    with Wire(site.daemon.connect()) as wire:
        for _ in range(50):
            assert wire.ask("/reportsx?ok").body == b"ok"
    assert policy == "fifo" or site.threads()["total"] < 6
    assert sorted(site.begun) == ["A", "B"]
    gated = wait_for(lambda: t if (t := site.threads())["gated"] == 3 else None, "3 that are gated")
    assert (gated["queued"], gated["gated_by"]) == (0, "paths./reports.threads")
    if policy == "fair":
        assert "gated by paths./reports.threads: 3 for " in site.daemon.command("status").stdout
    for number, name in enumerate("ABCDE", 3):
        site.release(name)
        assert wires[name].answer().body.decode() == f"gate-{name}"
        site.wait_begun(min(number, 5))
    assert site.begun[2:] == ["C", "D", "E"]
    assert site.threads()["gated"] == 0
    assert "out of threads" not in site.daemon.log
    assert site.daemon.stop() == 0


@pytest.mark.drill
def test_one_that_waits_too_long_is_told_of_its_rule(site):
    site.start({"/reports": {"threads": 1}}, timeouts={"queue": "500ms"})
    holding = site.ask("/reports?gate-A")
    site.wait_begun(1)
    answer = site.ask("/reports?gate-B").answer()
    assert (answer.status, "retry-after" in answer.fields) == (503, True)
    said = r'request refused .*"as many as paths\./reports\.threads \(1\) allows ran for timeouts\.queue'
    site.daemon.wait_log(said)
    assert "paths./reports.threads" in site.daemon.command("why").stdout
    assert site.daemon.get("/x?ok").body == b"ok"
    site.release("A")
    assert holding.answer().status == 200
    assert site.begun == ["A"]


@pytest.mark.parametrize("places", [0, 2])
@pytest.mark.drill
def test_who_finds_no_place_at_its_rule(site, places):
    """It takes none from others, and without places nobody waits."""
    site.start({"/reports": {"threads": 1}}, limits={"queue": places})
    holding = site.ask("/reports?gate-A")
    site.wait_begun(1)
    waiting = [site.ask(f"/reports?gate-{name}") for name in "BC"[:places]]
    site.let_through()
    assert site.ask("/reports?x").answer().status == 503
    site.daemon.wait_log(
        r"request refused .*paths\./reports\.threads \(1\) allows: raise it, or limits\.queue"
    )
    for _ in range(20):
        assert site.daemon.get("/x?ok").body == b"ok"
    for name, wire in zip("ABC", [holding, *waiting], strict=False):
        site.release(name)
        assert wire.answer().status == 200
    wait_for(lambda: site.daemon.get("/reports?ok").body == b"ok", "a thread that has answered to leave")


def test_a_thread_that_was_given_up_still_counts(site):
    """And a client that has left takes no place."""
    site.start({"/reports": {"threads": 1, "request": "500ms"}})
    stuck = site.ask("/reports?gate-A")
    assert stuck.answer().status == 504
    site.daemon.wait_log(r"request stuck .*limit=paths\./reports\.request")
    site.ask("/reports?gone").sock.close()
    gated = site.ask("/reports?ok")
    wait_for(lambda: site.threads()["gated"] == 2, "two that are gated")
    assert site.daemon.get("/x?ok").body == b"ok"
    site.release("A")
    assert gated.answer().body == b"ok"
    assert site.threads()["gated"] == 0


def test_a_drain_answers_those_that_are_held(site):
    site.start({"/reports": {"threads": 1}})
    wires = {name: site.ask(f"/reports?gate-{name}") for name in "AB"}
    site.wait_begun(1)
    wait_for(lambda: site.threads()["gated"] == 1, "one that is gated")
    mark = site.daemon.mark()
    site.daemon.command("recycle")
    site.daemon.wait_log("draining", since=mark)
    first, second = site.begun[0], ({"A", "B"} - {*site.begun}).pop()
    for name in (first, second):
        site.release(name)
        assert wires[name].answer().body.decode() == f"gate-{name}"


@pytest.mark.drill
def test_deadline_and_slow_mark(site):
    paths = {
        "/sleep": {"request": "700ms", "slow": "off"},
        "/sleep/long": {"request": "30s", "slow": "300ms"},
        "api.example.com/sleep/host": {"request": "30s"},
    }
    site.start(paths, timeouts={"request": "2s"}, log={"slow": "20s"})
    daemon = site.daemon
    assert daemon.get("/sleep/long?1.3").status == 200
    assert "slow request" in daemon.log
    assert "ended after 30s of silence (paths./sleep/long.request)" in daemon.log
    assert daemon.get("/sleep?1.5").status == 504
    assert daemon.get("/sleep/host?1.5").status == 504
    assert daemon.get("/sleep/host?0.8", headers={"Host": "API.example.com:80"}).status == 200
    stuck = re.findall(r"request stuck .* target=\S*(/sleep\S*?)\?1.5\S* .*?limit=(\S+)", daemon.log)
    assert stuck == [("/sleep", "paths./sleep.request"), ("/sleep/host", "paths./sleep.request")]
    assert daemon.log.count("slow request ") == daemon.log.count("slow request request=") <= 3
    assert all("/sleep/long" in line for line in daemon.log.splitlines() if "slow request" in line)


def post(daemon, target, size, fields="", host="x"):
    """The status of an upload of which only the head is sent at first."""
    with daemon.connect() as sock:
        head = f"POST {target} HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\n{fields}"
        length = "" if "chunked" in fields else f"Content-Length: {size}\r\n"
        sock.sendall(f"{head}{length}\r\n".encode())
        file = sock.makefile("rb")
        line = file.readline()
        if b" 100 " not in line:
            return int(line.split()[1])
        file.readline()
        body = bytes(size)
        sock.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (size, body) if "chunked" in fields else body)
        return int(file.readline().split()[1])


def test_bodies(site):
    paths = {
        "/upload": {"body": "300K"},
        "/small": {"body": 10},
        "/any": {"body": 0},
        "api.test/upload": {"body": 5},
    }
    daemon = site.start(paths, limits={"body": "100K"}).daemon
    large, chunked = 200 << 10, "Transfer-Encoding: chunked\r\n"
    for fields in ("", chunked):
        assert post(daemon, "/upload", large, fields) == 200
        assert post(daemon, "/any", 1 << 20, fields) == 200
        assert post(daemon, "/small/x", 10, fields) == 200
        assert post(daemon, "/small", 11, fields) == 413
        assert post(daemon, "/x", large, fields) == 413
        assert post(daemon, "/x/../upload", large, fields) == 413
        assert post(daemon, "/upload", 301 << 10, fields) == 413
        assert post(daemon, "/upload", 6, fields, host="api.test") == 413
    said = daemon.raw(b"POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n")
    assert b"body over paths./small.body" in said
    assert post(daemon, "/small", 5) == 200


def test_the_access_log(site):
    paths = {
        "/healthz": {"log": False},
        "/healthz/on": {"log": True},
        "/sleep": {"log": False, "slow": "400ms"},
    }
    daemon = site.start(paths, log={"format": "{method} {target} {status}", "skip": ["/healthz/on"]}).daemon
    for target in (
        "/healthz",
        "/healthz/x",
        "/healthz/on",
        "/%68ealthz",
        "/sleep?0",
        "/sleep?0.5",
        "/healthzx",
    ):
        assert daemon.get(target).status == 200
    assert post(daemon, "/healthz", 200 << 20) == 413
    daemon.wait_log("POST /healthz 413")
    lines = set(re.findall(r"^(?:GET|POST) \S+ \d+$", daemon.log, re.MULTILINE))
    assert lines == {"GET /healthz/on 200", "GET /sleep?0.5 200", "GET /healthzx 200", "POST /healthz 413"}
    wait_for(lambda: look(daemon)["totals"]["unlogged"] == 4, "all in the counts")


def test_the_log_and_config_tell_of_them(daemon):
    daemon.write("app.py", APP)
    daemon.site(paths={"/reports": {"request": "5m", "threads": 2}})
    daemon.start()
    assert "paths: /reports: a request may be silent for 300s" in daemon.log
    shown = daemon.command("config", "-c", "site.yaml").stdout
    assert re.search(r"paths\./reports: \{request: 300s, threads: 2\} +# site\.yaml:\d+", shown)
