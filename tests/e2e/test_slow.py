"""Slow requests in the log of a real site: `log.slow`."""

import re

import pytest

from tests.e2e.daemon import IN_ALL_MODELS

pytestmark = pytest.mark.drill

APP = """
    import time

    def sleeps(seconds):
        time.sleep(seconds)

    def computes(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass

    def streams(seconds):
        time.sleep(seconds)
        yield b"late"

    def app(environ, start_response):
        view = {"/sleeps": sleeps, "/computes": computes, "/streams": streams}.get(environ["PATH_INFO"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (view and view(float(environ["QUERY_STRING"]))) or [b"done"]
"""


WHAT = {("green", "computes"): "request stalls its worker"}
"""What is told of one that lets nobody look at what is slow."""


def slow_lines(daemon, target, what="slow request"):
    """Seconds and stack of each line about it."""
    line = rf'{what} request=\S+ method=GET target="?{re.escape(target)}"? seconds=(\S+)[^\n]*\n'
    return re.findall(line + r"((?:  .*\n)*)", daemon.log)


@IN_ALL_MODELS
@pytest.mark.parametrize("view", ["sleeps", "computes", "streams"])
def test_it_tells_where_a_request_is_slow(daemon, view):
    daemon.write("app.py", APP)
    daemon.site(log={"slow": "300ms"})
    daemon.start()
    assert daemon.get(f"/{view}?2.5").status == 200
    daemon.wait_log(f"GET /{view}")
    said = slow_lines(daemon, f"/{view}?2.5", WHAT.get((daemon.model, view), "slow request"))
    assert 1 <= len(said) <= 3
    assert all(float(seconds) >= 0.3 for seconds, _ in said)
    assert re.search(rf'app\.py", line \d+, in {view}\n', said[0][1])
    assert "superwsgi/worker" not in said[0][1]


def test_not_after_the_deadline_and_not_for_quick_ones(daemon):
    daemon.write("app.py", APP)
    daemon.site(log={"slow": "400ms"}, timeouts={"request": "1s"}, threads=2)
    daemon.start()
    assert daemon.get("/").status == 200
    assert daemon.get("/sleeps?3").status == 504
    daemon.wait_log("request stuck")
    mark = daemon.mark()
    assert daemon.get("/sleeps?3").status == 504
    daemon.wait_log("request stuck", since=mark)
    assert daemon.stop() == 0
    said = slow_lines(daemon, "/sleeps?3")
    assert 1 <= len(said) <= 4
    assert all(float(seconds) <= 1.0 for seconds, _ in said)
    assert not slow_lines(daemon, "/")


def test_off(daemon):
    daemon.write("app.py", APP)
    daemon.site(log={"slow": "off"}, timeouts={"request": "1s"})
    daemon.start()
    assert daemon.get("/sleeps?3").status == 504
    daemon.wait_log("request stuck")
    assert "slow request" not in daemon.log


def test_all_threads_of_many_at_once(daemon):
    """Nothing is held up by telling of them."""
    daemon.write("app.py", APP)
    daemon.site(log={"slow": "500ms"}, threads=100)
    daemon.start()
    clients = [daemon.client() for _ in range(100)]
    for client in clients:
        client.request("GET", "/sleeps?2")
    assert {client.getresponse().status for client in clients} == {200}
    for client in clients:
        client.close()
    assert daemon.stop() == 0
    said = len(slow_lines(daemon, "/sleeps?2"))
    counted = sum(int(times) for times in re.findall(r"slow requests times=(\d+)", daemon.log))
    assert said >= 20
    assert said + counted >= 100
    assert daemon.log.count("in sleeps\n") < said
