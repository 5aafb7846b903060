"""Threads that are all taken, and requests that wait for one: what the log and `superwsgi status` say of it,
and when it is over."""

import contextlib
import http.client
import json
import re

import pytest

from tests.e2e.daemon import FIXTURE_APPS, wait_for

pytestmark = pytest.mark.drill

FIXED, ELASTIC = 2, {"min": 1, "max": 2}


@pytest.fixture
def site(daemon):
    def start(workers=1, **keys):
        daemon.write("app.py", (FIXTURE_APPS / "e2e_waiting.py").read_text())
        daemon.site(workers=workers, monitor={"interval": "200ms"}, **keys)
        return daemon.start()

    return start


@contextlib.contextmanager
def asked(site, *paths):
    """Connections that have asked for these, one after another, and are not answered yet."""
    with contextlib.ExitStack() as stack:
        clients: list[http.client.HTTPConnection] = []
        for path in paths:
            client = stack.enter_context(contextlib.closing(site.client()))
            client.request("GET", path)
            clients.append(client)
        yield clients


def status(site):
    return json.loads(site.command("status", "--json").stdout)


def busy(site, count, queued=0):
    """Wait until so many threads are busy, and so many requests queued."""
    what = f"{count} busy, {queued} queued"

    def found():
        threads = status(site)["threads"]
        return threads if (threads["busy"], threads["queued"]) == (count, queued) else None

    return wait_for(found, what, context=lambda: str(status(site)))


def fields(line):
    """The fields of a line of the log."""
    return {name: quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|(\S+))', line)}


def out_of_threads(site):
    return fields(site.wait_log(r"warning .* out of threads .*")[0])


@pytest.mark.parametrize("threads", [FIXED, ELASTIC], ids=["fixed", "elastic"])
def test_slow_pages_and_requests_that_wait(site, threads):
    site = site(threads=threads)
    with asked(site, "/reports/1?day=2", "/reports/2", "/", "/", "/reports/3") as clients:
        totals = busy(site, 2, queued=3)
        assert (totals["total"], totals["most"]) == (2, 2)
        said = out_of_threads(site)
        (worker,) = status(site)["workers"]
        assert worker["threads"]["queued"] == 3
        assert 0 < worker["threads"]["oldest"] < 60
        table = site.command("status").stdout
        assert re.search(r"^threads: 2 of 2 busy, queued: 3 for [\d.]+m?s$", table, re.MULTILINE)
        assert re.search(r"  2/2 +3 for [\d.]+m?s ", table)
        site.write("go", "")
        assert [client.getresponse().status for client in clients] == [200] * 5
    assert (said["workers"], said["threads"], said["queued"]) == ("1 of 1", "2 of 2", "3")
    assert said["taken_by"] == "GET /reports/* 100 %"
    assert "superwsgi reference threads" in said["next"]
    over = fields(site.wait_log("info .* threads free again .*")[0])
    assert over["most_queued"] == "3"
    assert {"lasted", "longest_wait"} <= {*over}
    assert site.log.count("out of threads") == site.log.count("threads free again") == 1
    assert "queued" not in site.command("status").stdout


@pytest.mark.parametrize("threads", [FIXED, ELASTIC], ids=["fixed", "elastic"])
def test_event_streams_take_all_threads_of_all_workers(site, threads):
    """Nothing waits yet: it is said before a page does. Each comes when the one before has its thread, so
    that both workers are full."""
    site = site(threads=threads, workers=2)
    with contextlib.ExitStack() as stack:
        streams = []
        for path in ("/events", "/events", "/events", "/reports/1"):
            streams += stack.enter_context(asked(site, path))
            busy(site, len(streams))
        said = out_of_threads(site)
        assert (said["workers"], said["threads"], said["queued"]) == ("2 of 2", "4 of 4", "0")
        assert said["taken_by"] == "GET /events 75 %, GET /reports/* 25 %"
        assert "an open event stream holds a thread" in said["next"]
        with asked(site, "/") as (page,):
            busy(site, 4, queued=1)
            site.write("go", "")
            assert page.getresponse().status == 200
        assert [stream.getresponse().status for stream in streams] == [200] * 4


def test_an_upgrade_in_the_middle_says_when_it_is_over(site):
    """The old generation drains, the new one is free."""
    site = site(threads=1)
    with asked(site, "/events") as (stream,):
        busy(site, 1)
        out_of_threads(site)
        assert site.command("upgrade", "--wait").returncode == 0
        over = fields(site.wait_log("threads free again .*")[0])
        site.write("go", "")
        assert stream.getresponse().status == 200
    assert over["most_queued"] == "0"
    assert site.log.count("out of threads") == 1


def test_threads_that_are_free_are_not_worth_a_line(site):
    site = site(threads=ELASTIC, workers=2)
    with asked(site, "/reports/1", "/reports/2"):
        totals = busy(site, 2)
        assert totals["most"] == 4
        site.write("go", "")
    busy(site, 0)
    assert "out of threads" not in site.log
