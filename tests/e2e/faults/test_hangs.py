"""A worker of two does not go on, under load: the other one serves, and there are two again in time."""

from tests.e2e.faults.drill import AGAIN

SLACK = 10.0
"""Seconds that a machine with more to do may take beyond what is promised."""

DEADLINE = 2.0
"""Seconds: timeouts.request of these sites."""


def begin(drill):
    return drill.begin(timeouts={"request": f"{DEADLINE:g}s"}, threads=4)


def test_an_endless_loop(drill):
    begin(drill)
    before = drill.workers()
    with drill.under_load() as load:
        assert drill.ask("/loop") == 504
        assert drill.whole(before) < 2 + SLACK
    said = r"a stuck thread (goes on computing|does not come back): GET /loop \S+ for \S+"
    told = drill.says(rf"worker \d to be recycled: {said}(; no request lost)?{AGAIN}")
    assert drill.incidents(told["requests"][0]["id"])[-1]["event"] == "request stuck"
    assert load.broken == []
