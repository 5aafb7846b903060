"""Twice as much as can be answered, for 20 seconds: the figures of the bench's scenario `overload`, with room
for a machine that has other things to do."""

import pytest

from tests.bench.open_loop import Phase, offer

APP = """
    import time

    def app(environ, start_response):
        time.sleep(0.05)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]
"""

AGE = 0.5


@pytest.mark.drill
@pytest.mark.alone
def test_what_is_served_is_in_time_and_hardly_less(daemon):
    daemon.write("app.py", APP)
    daemon.site(workers=1, threads=4, limits={"queue_age": "500ms"}, log={"access": "off"})
    daemon.start()
    _, port = daemon.address
    quiet, full, twice, after = offer(port, "/", Phase(3, 30), Phase(4, 100), Phase(20, 160), Phase(5, 30))
    assert not quiet.refused
    assert twice.p99() <= 2 * AGE + quiet.p99() + 0.1
    assert twice.rate >= 0.85 * min(full.rate, 80)
    assert not twice.lost
    soon = after.since(2)
    assert not soon.refused
    assert soon.p99() <= quiet.p99() + 0.2
    daemon.wait_log("requests shed ")
    daemon.wait_log("requests no longer shed ")
