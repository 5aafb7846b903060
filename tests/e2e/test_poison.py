"""A page that ends workers, beside pages that do not: found out and, if it is wanted, kept out."""

import http.client
import json
import signal
import threading

import pytest

from tests.e2e.daemon import wait_for

APP = """
    import ctypes, os, time

    def crash(): ctypes.string_at(0)
    def wait(): time.sleep(0.2)
    VIEWS = {"/crash": crash, "/wait": wait, "/exit": lambda: os._exit(0)}

    def app(environ, start_response):
        VIEWS.get(environ["PATH_INFO"], lambda: None)()
        start_response("200 OK", [])
        return [str(os.getpid()).encode()]
"""
LOOKS = 6
"""Answers of the page that waits for 0.2 s: the master sees what is usual meanwhile."""


class Visitors:
    """Ask for popular pages again and again, until the end."""

    def __init__(self, site, *paths):
        self.site, self.answers, self.over = site, [], False
        self.threads = [threading.Thread(target=self.visit, args=[path]) for path in paths]

    def visit(self, path):
        while not self.over:
            self.answers.append((path, ask(self.site, path)))

    def seen(self, count, path="/wait"):
        """Until so many more have been answered."""
        before = self.answers.count((path, 200))
        wait_for(lambda: self.answers.count((path, 200)) >= before + count, path)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        for thread in self.threads:
            thread.join()


def ask(site, path, method="GET"):
    """The status, or 0 where the connection has ended without an answer."""
    try:
        return site.get(path, method).status
    except (http.client.HTTPException, ConnectionError):
        return 0


@pytest.fixture
def site(daemon, request):
    daemon.write("app.py", APP)
    more = getattr(request, "param", {"quarantine": "on"})
    daemon.site(workers=2, health={"ready": "/readyz"}, log={"access": "off"}, **more)
    return daemon.start()


def crash(site, times=3, path="/crash"):
    for _ in range(times):
        mark = site.mark()
        assert ask(site, path) == 0
        site.wait_log(r"\bserving\b", since=mark)


def wait_until_refused(site):
    """The master says so first, and then tells its workers."""
    wait_for(lambda: ask(site, "/crash") == 503, "a worker that knows", context=lambda: site.log)


def snapshot(site):
    return json.loads(site.command("status", "-c", "site.yaml", "--json").stdout)


def refusals(site):
    """Of the quarantine, and all with 503. They are counted a little later than clients know of them."""
    totals = snapshot(site)["totals"]
    return totals["quarantined"], totals["refused"].get("503", 0)


def test_the_poison_is_kept_out_and_nothing_else(site):
    with Visitors(site, "/", "/wait", "/wait") as visitors:
        visitors.seen(LOOKS)
        crash(site)
        site.wait_log('quarantined kind="GET /crash"')
        wait_until_refused(site)
        wait_for(lambda: refusals(site) == (1, 1), "the first one in the counts")
        mark = site.mark()
        refused = site.get("/crash?size=9")
        assert refused.status == 503
        assert 200 < int(refused.headers["retry-after"]) <= 300
        for spelled in ("/%63rash", "/cr%61sh?x", "http://" + "a" * 120 + "/crash"):
            assert site.raw(f"GET {spelled} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).startswith(
                b"HTTP/1.1 503 "
            )
        assert site.get("/readyz").status == 200
        wait_for(lambda: refusals(site) == (5, 5), "four more in the counts")
        now = snapshot(site)
        assert now["health"] == "degraded"
        assert any("GET /crash is in quarantine" in reason for reason in now["reasons"])
        assert [each["kind"] for each in now["suspects"]] == ["GET /crash"]
        worker = site.workers()[0]
        site.send(signal.SIGKILL, worker)
        site.wait_log(r"\bserving\b", since=mark)
        assert [ask(site, "/crash") for _ in range(4)] == [503] * 4, "also by one that has come since"
    assert {answer for _, answer in visitors.answers} <= {200, 0}, "no popular page was refused"
    assert site.log.count(" suspect kind=") == 1
    assert "suspect: in hand in 3 of 3 crashes" in site.command("why", "-c", "site.yaml", "--short").stdout
    mark = site.mark()
    site.reload()
    site.wait_log('quarantine over kind="GET /crash" reason="generation 2 has taken over', since=mark)
    wait_for(lambda: ask(site, "/crash") == 0)  # a worker that goes may still answer


@pytest.mark.parametrize("site", [{}], indirect=True)
def test_without_a_quarantine_it_is_only_named(site):
    with Visitors(site, "/", "/wait", "/wait") as visitors:
        visitors.seen(LOOKS)
        for worker in (1, 2, 1):
            mark = site.mark()
            site.send(signal.SIGKILL, site.workers()[worker - 1])
            site.wait_log(r"\bserving\b", since=mark)
        assert " suspect " not in site.log, "an operator is no request"
        crash(site, path="/exit")
        site.wait_log(' suspect kind="GET /exit" .*quarantine: on')
        crash(site, times=1, path="/exit")
    assert site.log.count(" suspect kind=") == 1
    assert "suspect: GET /exit, in hand in 4 of 4 crashes" in site.command("status", "-c", "site.yaml").stdout


@pytest.mark.drill
@pytest.mark.parametrize("site", [{"quarantine": "2s"}], indirect=True)
def test_it_ends_and_comes_again(site):
    with Visitors(site, "/", "/wait") as visitors:
        visitors.seen(LOOKS)
        crash(site)
        site.wait_log('quarantine over kind="GET /crash"')
        assert ask(site, "/crash") == 0
        site.wait_log('quarantined kind="GET /crash" .*for the 2. time')
        wait_until_refused(site)


@pytest.mark.drill
def test_an_upgrade_knows_what_was_known(site):
    with Visitors(site, "/wait") as visitors:
        visitors.seen(LOOKS)
        crash(site, times=2)
        mark = site.mark()
        site.send(signal.SIGUSR2)
        site.wait_log("reload complete", since=mark)
        crash(site, times=1)
        site.wait_log('quarantined kind="GET /crash"')
        mark = site.mark()
        site.send(signal.SIGUSR2)
        site.wait_log("program replaced", since=mark)
        assert ask(site, "/crash") == 503
