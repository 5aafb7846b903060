"""`log.skip` and `log.sample` of a real daemon: what was asked, and what the access log has of it."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.daemon import Answer, wait_for, whole_lines

pytestmark = pytest.mark.drill

APP = """
    import time

    STATUS = {"/missing": "404 Not Found", "/fail": "500 Internal Server Error", "/moved": "302 Found"}

    def broken():
        yield b"half"
        raise ValueError("the other half")

    def app(environ, start_response):
        path = environ["PATH_INFO"]
        name = "/" + path.rpartition("/")[2]
        if name == "/sleep":
            time.sleep(2.1)
        if name == "/raise":
            raise ValueError("raised")
        start_response(STATUS.get(name, "200 OK"), [("Content-Length", "8")])
        return broken() if name == "/broken" else [b"answered"]
"""


@pytest.fixture
def site(daemon):
    def begin(workers=1, **log):
        daemon.write("app.py", APP)
        daemon.site(workers=workers, log={"access": "access.log", "format": "json", "slow": "10m", **log})
        return daemon.start()

    daemon.begin = begin
    return daemon


def ask(daemon, *paths):
    """Request each in turn on one connection, and last what is always logged; waits for that line: those
    before it are written by then."""
    connection = daemon.client()
    for path in [*paths, "/last/missing"]:
        connection.request("GET", path)
        answer = Answer(connection.getresponse())
    connection.close()
    identity = answer.headers["x-request-id"]
    wait_for(lambda: identity in read(daemon), "the last line", context=lambda: read(daemon))


def read(daemon):
    file = daemon.folder / "access.log"
    return file.read_text() if file.exists() else ""


def lines(daemon):
    """All but those of the last requests."""
    said = map(json.loads, whole_lines(read(daemon)))
    return [line for line in said if line["target"] != "/last/missing"]


def targets(daemon):
    return Counter(line["target"] for line in lines(daemon))


def status(daemon):
    return json.loads(daemon.command("status", "--json").stdout)


def unlogged(daemon):
    return status(daemon)["totals"]["unlogged"]


def test_exactly_so_many_of_so_many_by_path(site):
    site.begin(skip=["/static", "/healthz"], sample={"/api": "10%", "/api/v1": "100%", "/": "50%"})
    ask(site, *["/api/x", "/api/v1/x", "/shop", "/static/x", "/healthz", "/staticfiles"] * 100)
    found = targets(site)
    assert (found["/api/x"], found["/api/v1/x"]) == (10, 100)
    assert found["/shop"] + found["/staticfiles"] == 100
    assert set(found) == {"/api/x", "/api/v1/x", "/shop", "/staticfiles"}
    shares = {line["target"]: line["sample"] for line in lines(site)}
    assert shares == {"/api/x": 0.1, "/api/v1/x": 1, "/shop": 0.5, "/staticfiles": 0.5}
    assert sum(1 / line["sample"] for line in lines(site)) == pytest.approx(400)
    assert unlogged(site) == 600 - 210


def test_what_went_wrong_or_was_slow_is_always_there(site):
    site.begin(skip="/", slow="2s")
    whole = ["/a/missing", "/a/fail", "/a/raise", "/a/sleep", "/a/%2e%2e/static", "/a/../static"]
    ask(site, "/a/well", *whole, "/a/moved", "/a/well?a=/../")
    assert b"half" in site.raw(b"GET /a/broken HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 413 " in site.raw(b"POST /a/huge HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
    assert b" 400 " in site.raw(b"GET /a/well\r\n\r\n")
    with site.connect() as sock:
        sock.sendall(b"POST /a/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
    expected = Counter([*whole, "/a/broken", "/a/huge", "", "/a/upload"])
    wait_for(lambda: targets(site) == expected, "all lines", context=lambda: read(site))
    assert {line["sample"] for line in lines(site)} == {1}


def test_answers_that_clients_take_late(site):
    """Their lines are written by another way than those of small ones."""
    site.write(
        "app.py",
        """
        def app(environ, start_response):
            start_response("200 OK", [])
            return [b"x" * (16 << 20)]
        """,
    )
    log = {"access": "access.log", "format": "json", "slow": "10m"}
    site.site(workers=1, log={**log, "skip": "/skipped", "sample": "50%"})
    site.start()
    for _ in range(4):
        assert len(site.get("/large").body) == 16 << 20
        assert len(site.get("/skipped").body) == 16 << 20
    with site.connect() as sock:
        sock.sendall(b"GET /skipped?left HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(10)
    found = {"/large": 2, "/skipped?left": 1}
    wait_for(lambda: targets(site) == found, "3 lines", context=lambda: read(site))
    assert {line["target"]: (line["sample"], line["status"]) for line in lines(site)} == {
        "/large": (0.5, 200),
        "/skipped?left": (1, 499),
    }
    wait_for(lambda: unlogged(site) == 6, "the others")


def test_each_of_several_workers_counts_for_itself(site):
    site.begin(workers=3, sample="10%")
    with ThreadPoolExecutor(6) as clients:
        list(clients.map(lambda _: ask(site, *["/x"] * 100), range(6)))

    def counted():  # a little later than the lines are written
        answered = {w["number"]: w["requests"] - w["failures"] for w in status(site)["workers"]}
        return answered if sum(answered.values()) == 606 else None

    answered = wait_for(counted, "all requests in the status")
    found = Counter(line["worker"] for line in lines(site))
    assert all(abs(found[number] - count / 10) <= 1.1 for number, count in answered.items())
    assert unlogged(site) == 600 - sum(found.values())
    site.reload()
    assert unlogged(site) == 600 - sum(found.values())


def test_a_reload_changes_it(site):
    site.begin(skip="/a")
    ask(site, *["/a"] * 20, *["/b"] * 20)
    assert targets(site) == {"/b": 20}
    assert {line["sample"] for line in lines(site)} == {1}
    site.site(workers=1, log={"access": "access.log", "format": "json", "sample": {"/a": "25%"}})
    site.reload()
    ask(site, *["/a"] * 20, *["/b"] * 20)
    assert targets(site) == {"/b": 40, "/a": 5}
    site.site(workers=1, log={"access": "access.log", "format": "json"})
    site.reload()
    ask(site, "/a")
    assert targets(site) == {"/b": 40, "/a": 6}
    assert "sample" not in lines(site)[-1]


def test_a_template_says_it(site):
    site.begin(format="{target} {status} {sample} {request_id}", sample="50%")
    ask(site, "/a", "/a", "/a/fail")
    said = [line.rpartition(" ")[0] for line in read(site).splitlines()]
    assert said == ["/a 200 0.5", "/a/fail 500 1.0", "/last/missing 404 1.0"]


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("skip: /static/*", "2:13: log.skip: expected a path such as /healthz or /static, got '/static/*'"),
        ("sample: 150%", "2:15: log.sample: expected a share such as 10% or 0.1"),
        ("sample: {/api: 0%}", "2:22: log.sample /api: expected a share such as 10% or 0.1, got '0%'"),
        ("sample: {api: 1%}", "2:16: log.sample api: expected a path such as /healthz"),
    ],
)
def test_mistakes(daemon, log, said):
    daemon.write("site.yaml", f"app: app:app\nlog: {{{log}}}\n")
    done = daemon.command("check", "-c", "site.yaml")
    assert done.returncode == 2
    assert f"site.yaml:{said}" in done.stdout + done.stderr
