"""Access and error log of a real daemon: one line an exchange, whatever it was, wherever it goes."""

import json
import re
import signal
import socket

import pytest

from tests.e2e.daemon import FIXTURE_APPS, wait_for
from tests.e2e.load import Load
from tests.e2e.wire import Wire, request

pytestmark = pytest.mark.drill

COMBINED = re.compile(
    r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}(:\d\d){3} [+-]\d{4}\] "([^"]*)" (\d{3}) (\d+|-) "([^"]*)" "([^"]*)"'
)
FIELDS = ["Referer: http://from/", "User-Agent: tests/1"]
EXCHANGES = [
    (request("/", fields=FIELDS), "GET", "/", 200, "5"),
    (request("/", "HEAD", FIELDS), "HEAD", "/", 200, "-"),
    (request("/nowhere?q=%20", fields=FIELDS), "GET", "/nowhere?q=%20", 404, "5"),
    (request("/fails", "POST", FIELDS, b"body"), "POST", "/fails", 500, "26"),  # our own page
]
REFUSED = [
    (b"nonsense\r\n\r\n", 400),
    (request("/", "POST", [f"Content-Length: {2 << 20}"]), 413),
    (request("/" + "x" * 9000), 414),
    (request(fields=["X: " + "y" * 70_000]), 431),
]


@pytest.fixture
def site(daemon):
    def begin(log, workers=1, **keys):
        daemon.site(
            app="e2e_says:app",
            chdir=str(FIXTURE_APPS),
            workers=workers,
            log=log,
            limits={"body": "1M"},
            **keys,
        )
        return daemon.start(ready=log.get("error", "-") == "-" and log.get("level") != "error")

    daemon.begin = begin
    daemon.access = daemon.folder / "access.log"
    return daemon


def sorted_by_status(said, status=lambda entry: entry):
    """In the order of EXCHANGES and REFUSED: lines of different connections may change places."""
    order = [status for *_, status, _ in EXCHANGES] + [status for _, status in REFUSED]
    return sorted(said, key=lambda entry: order.index(status(entry)))


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def exchange(site):
    """Everything that may be said to a server; the statuses are checked."""
    with Wire(site.connect()) as wire:
        for data, method, _, status, _ in EXCHANGES:
            wire.send(data)
            assert wire.answer(method).status == status
    for data, status in REFUSED:
        with Wire(site.connect()) as wire:
            wire.send(data)
            assert wire.answer().status == status


def test_combined_in_a_file(site):
    site.begin({"access": "access.log"})
    exchange(site)
    assert site.stop() == 0
    matches = [COMBINED.fullmatch(line) for line in lines(site.access)]
    assert all(matches), lines(site.access)
    said = sorted_by_status([match.groups() for match in matches], lambda groups: int(groups[2]))
    for groups, (_, method, target, status, sent) in zip(said, EXCHANGES, strict=False):
        assert groups[1:] == (f"{method} {target} HTTP/1.1", str(status), sent, "http://from/", "tests/1")
    assert [int(groups[2]) for groups in said[len(EXCHANGES) :]] == [status for _, status in REFUSED]
    assert "-" not in {groups[3] for groups in said[len(EXCHANGES) :]}, "refusals have a body"
    assert "secret of the application" in site.log, "the traceback, in the error log alone"
    assert "GET /nowhere" not in site.log


def test_json_on_stdout(site):
    site.begin({"format": "json", "error": "error.log"})
    wait_for(lambda: "serving" in "".join(lines(site.folder / "error.log")), "serving")
    site.log_file, stdout = site.folder / "error.log", site.log_file
    exchange(site)
    assert site.stop() == 0
    said = sorted_by_status([json.loads(line) for line in lines(stdout)], lambda entry: entry["status"])
    assert [e["status"] for e in said] == [s for *_, s, _ in EXCHANGES] + [s for _, s in REFUSED]
    first = next(entry for entry in said if entry["status"] == 404)
    assert (first["method"], first["target"], first["protocol"]) == ("GET", "/nowhere?q=%20", "HTTP/1.1")
    assert (first["host"], first["referer"], first["agent"]) == ("example.org", "http://from/", "tests/1")
    assert (first["worker"], first["generation"], first["sent"]) == (1, 1, 5)
    assert 0 <= first["duration"] < 5


def test_a_template(site):
    site.begin({"access": "access.log", "format": "{status} {method} {target} {agent}"})
    exchange(site)
    assert site.stop() == 0
    said = sorted_by_status(lines(site.access), lambda line: int(line.split()[0]))
    assert said[: len(EXCHANGES)] == [f"{status} {m} {t} tests/1" for _, m, t, status, _ in EXCHANGES]
    assert [int(line.split()[0]) for line in said[len(EXCHANGES) :]] == [status for _, status in REFUSED]


def test_times_in_the_queue_and_in_the_application(daemon):
    """A pipelined request waits from the answer before it on; a refused one has never left the queue."""
    daemon.write(
        "app.py",
        """
        import time

        def app(environ, start_response):
            if environ["PATH_INFO"] == "/slow":
                time.sleep(0.6)
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"hello"]
        """,
    )
    daemon.site(
        workers=1,
        threads=1,
        log={"access": "access.log", "format": "json"},
        timeouts={"queue": "300ms"},
    )
    daemon.start()
    with Wire(daemon.connect()) as wire, Wire(daemon.connect()) as late:
        wire.send(request("/slow") + request("/next"))
        late.send(request("/late"))
        assert wire.answer().status == 200
        assert wire.answer().status == 200
        assert late.answer().status == 503
    assert daemon.stop() == 0
    said = {entry["target"]: entry for entry in map(json.loads, lines(daemon.folder / "access.log"))}
    assert 0.6 <= said["/slow"]["app"] <= said["/slow"]["duration"]
    assert said["/slow"]["queued"] < 0.3
    assert said["/next"]["queued"] < 0.3
    assert said["/late"]["queued"] >= 0.3
    assert said["/late"]["app"] == 0


@pytest.mark.parametrize("format", ["combined", "json", "{remote} {target} {agent} {referer} {host}"])
def test_nothing_that_a_client_sends_makes_a_second_line(site, format):
    site.begin({"access": "access.log", "format": format})
    evil = '"\\x1b[31m\t\x85\xe2\x80\xa8\\n} {'
    with Wire(site.connect()) as wire:
        wire.ask("/%0a127.0.0.1%0d%22", fields=[f"User-Agent: {evil}", f"Referer: {evil}"])
        wire.ask('/"\\', fields=[f"User-Agent: {evil * 900}"])
        wire.ask("/last")
    for attack in (
        b"GET /\r127.0.0.1 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
        b"\x1b[2J\r\n\r\n",
    ):
        with Wire(site.connect()) as wire:
            wire.send(attack)
            assert wire.answer().status == 400
    assert site.stop() == 0
    said = site.access.read_bytes()
    assert said.count(b"\n") == 6
    assert re.search(rb"[^\x20-\x7e\n]", said) is None
    assert all(len(line) < 4096 for line in said.splitlines())


@pytest.mark.parametrize(
    ("keys", "file"),
    [
        ({"level": "error"}, "daemon.log"),
        ({"error": "error.log"}, "error.log"),
        ({"error": "off"}, "daemon.log"),
    ],
)
def test_what_an_application_writes_stands_there_as_it_is(site, keys, file):
    """Whatever the level, and on stderr where there is no error log."""
    site.begin({"access": "off", **keys}, bind="unix:site.sock")
    said = ['{"level": "INFO", "text": "a \\"quoted\\" é"}', "  \x1b[31mred\x1b[0m\r", "", "x" * 9000, "last"]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(60)
        path = str(site.folder / "site.sock")
        wait_for(lambda: sock.connect_ex(path) == 0, "socket")
        wire = Wire(sock)
        for line in said[:-1]:
            assert wire.ask("/said", "POST", body=line.encode() + b"\n").status == 200
        assert wire.ask("/said", "POST", body=said[-1].encode()).status == 200
    log = site.folder / file

    def of_the_application():
        """Without the master's lines, one of which may come between."""
        return re.sub(r"^\S+Z .* master=\d+ .*\n", "", log.read_bytes().decode(), flags=re.MULTILINE)

    wait_for(lambda: "\n".join(said) in of_the_application(), "all of it", context=log.read_text)
    assert site.stop() == 0


@pytest.mark.parametrize(
    ("level", "said"), [("debug", {"info", "error"}), ("info", {"info", "error"}), ("error", {"error"})]
)
def test_levels(site, level, said):
    site.begin({"access": "off", "level": level}, bind="unix:site.sock")
    path = site.folder / "site.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(60)
        wait_for(lambda: sock.connect_ex(str(path)) == 0, "socket")  # its file is there before it listens
        assert Wire(sock).ask("/fails").status == 500
    site.wait_log("request failed")
    assert {line.split()[1] for line in site.log.splitlines() if line.startswith("2")} - {"debug"} == said


def test_reopened_under_load_no_line_is_lost(site):
    """What logrotate does, five times: rename, then USR1."""
    site.begin({"access": "access.log", "error": "error.log"}, workers=2)
    site.log_file = site.folder / "error.log"
    wait_for(lambda: "serving" in site.log, "serving")
    with Load(site.address, clients=4, pause=0.001) as load:
        for number in range(5):
            mark = len(load.answers)
            wait_for(lambda: len(load.answers) > mark + 100, "answers")  # noqa: B023
            site.access.rename(site.folder / f"access.log.{number}")
            (site.folder / "error.log").rename(site.folder / f"error.log.{number}")
            site.send(signal.SIGUSR1)
            wait_for(lambda: lines(site.access), "new access log")
            wait_for(lambda: "reopened" in site.log, "new error log")
    assert load.broken == []
    assert site.stop() == 0
    written = [line for path in site.folder.glob("access.log*") for line in lines(path)]
    assert all(map(COMBINED.fullmatch, written))
    assert len(written) == len(load.answers)
    assert lines(site.access), "the newest file has lines, too"
    assert "ended" in site.log, "workers' ends are in the newest error log"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_the_end_loses_no_line(site, number):
    site.begin({"access": "access.log"}, workers=2)
    with Load(site.address, clients=4) as load:
        wait_for(lambda: len(load.answers) > 500, "answers")
    assert site.stop(number) == 0
    assert len(lines(site.access)) == len(load.answers)
