"""With greenlets, a view that does not wait stalls all others of its worker: it is named while it does."""

import contextlib
import re

import pytest

from tests.e2e.daemon import wait_for
from tests.tools import needed_package

pytestmark = pytest.mark.drill

APP = """
    import ctypes, os, time
    import gevent

    LIBC = ctypes.CDLL(None)  # gives the GIL back while it waits, which gevent does not know of

    def goes_on(end):
        return time.monotonic() < end and not os.path.exists("enough")

    def computes(seconds):
        end = time.monotonic() + seconds
        while goes_on(end):
            pass

    def blocks(seconds):
        end = time.monotonic() + seconds
        while goes_on(end):
            LIBC.usleep(50000)

    def gives_way(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            computes(0.2)
            time.sleep(0)

    def starts_one(seconds):
        gevent.spawn(computes, seconds)

    def app(environ, start_response):
        view = globals().get(environ["PATH_INFO"].strip("/"))
        if view is not None:
            view(float(environ["QUERY_STRING"]))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"done"]
"""


@pytest.fixture
def site(daemon):
    needed_package("gevent")

    def begin(**keys):
        daemon.write("app.py", APP)
        daemon.site(workers=1, green=100, **keys)
        return daemon.start()

    return begin


def told(site):
    """What the lines about it say: fields and stack."""
    return re.findall(r"warning .* stalls its worker (.*)\n((?:    .*\n)*)", site.log)


@pytest.mark.parametrize(
    ("view", "how", "advice"),
    [
        ("computes", "its code has computed for ", "threadpool"),
        ("blocks", "its code blocks for ", "library"),
    ],
)
def test_the_request_is_named_once_while_it_lasts(site, daemon, view, how, advice):
    site, enough = site(), daemon.folder / "enough"

    def ask():
        """Until it has been told."""
        already = len(told(site))
        with contextlib.closing(site.client()) as client:
            client.request("GET", f"/{view}?60")
            wait_for(lambda: len(told(site)) > already, "the warning", context=lambda: site.log)
            assert site.log.count(f'"GET /{view}?60 HTTP/1.1" 200') == already
            enough.touch()
            assert client.getresponse().status == 200
        enough.unlink()

    ask()
    assert site.get("/").status == 200
    ((fields, stack),) = told(site)
    assert f"method=GET target=/{view}?60" in fields
    assert how in fields
    assert re.search(rf'next="[^"]*{advice}', fields)
    assert re.search(rf'app\.py", line \d+, in {view}\n', stack)
    assert "superwsgi/worker" not in stack
    why = site.command("why", "-c", "site.yaml", "--short").stdout
    assert re.search(rf"request stalls its worker: {how}.*GET /{view}\?60", why)
    ask()
    assert len(told(site)) == 2, "the next occurrence"


def test_a_greenlet_of_the_applications_own(site, daemon):
    site = site()
    assert site.get("/starts_one?60").status == 200
    site.wait_log("greenlet stalls its worker")
    (daemon.folder / "enough").touch()
    assert site.get("/").status == 200
    ((fields, stack),) = told(site)
    assert "method=" not in fields
    assert "in computes\n" in stack


def test_who_gives_way_and_who_waits_is_not_named(site):
    site = site()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(site.client())) for _ in range(3)]
        for client in clients:
            client.request("GET", "/gives_way?3")
        assert [client.getresponse().status for client in clients] == [200] * 3
    assert told(site) == []


def test_one_that_goes_on_loses_its_worker_which_tells_where_it_was(site):
    site = site(timeouts={"request": "3s"}, monitor={"interval": "100ms"})
    (before,) = site.wait_workers(1)
    assert site.raw(b"GET /computes?60 HTTP/1.1\r\nHost: x\r\n\r\n") == b""
    site.wait_log(rf"error .*pid={before} hangs reason=.no heartbeat for [^\"]*green.*in_hand=.GET /computes")
    said = site.wait_log(rf"pid={before} stacks why=hangs incident=\d+\n((?:    .*\n)+)\S")
    assert "in computes\n" in said[1]
    site.wait_log(rf'warning .*pid={before} ended reason="no heartbeat .* in_hand="GET /computes')
    wait_for(lambda: before not in site.workers() and len(site.workers()) == 1, "replacement")
    assert site.get("/").status == 200
