"""A worker of two dies, under load: only its own clients lose anything, and it is back at once."""

import pytest

from tests.e2e.faults.drill import AGAIN, CLIENTS, count_lost, lost

pytestmark = pytest.mark.drill

DEATHS = {
    "/kill": r"signal 9 \(SIGKILL\): not by the master",
    "/segv": r"signal 11 \(SIGSEGV\): Segmentation fault in reads_nowhere \(\S+, line \d+\)",
    "/abort": r"signal 6 \(SIGABRT\): Aborted in \w+ \(\S+, line \d+\)",
    "/exit": r"exit code 7: the application has called os\._exit",
}
SOON = 10.0
"""Seconds; two, with room for a machine that has more to do."""


@pytest.fixture(scope="module")
def drill(shared_drill):
    return shared_drill.begin()


def test_the_mold_dies(drill):
    """Nobody notices, unless a worker has to be forked meanwhile."""
    with drill.under_load() as load:
        drill.kill(drill.daemon.mold())
        told = rf"mold lost: mold ended with {DEATHS['/kill'].partition(':')[0]}; .*{AGAIN}"
        drill.says(told)
    assert load.broken == []


def test_a_request_that_wants_to_exit_is_an_error_of_its_own(drill):
    before = drill.workers()
    assert drill.ask("/leave").status == 500
    assert drill.workers() == before
    assert all(each["event"] != "died" for each in drill.incidents())


@pytest.mark.parametrize("path", DEATHS)
def test_a_worker_dies(drill, path):
    before = drill.workers()
    with drill.under_load() as load:
        assert drill.ask(path) is None
        assert drill.whole(before) < SOON
    (victim,) = {*before.items()} - {*drill.workers().items()}
    told = drill.says(rf"worker {victim[0]} died: {DEATHS[path]}; {lost(path)}{AGAIN}", victim[1])
    assert 0 <= count_lost(told) - 1 <= len(load.broken) <= CLIENTS, load.broken
    assert {*load.lost} <= {b"", str(victim[1]).encode()}, "clients of the other worker"
    (death,) = (w["last_death"]["how"] for w in drill.status()["workers"] if w["number"] == victim[0])
    assert death.startswith(DEATHS[path].partition(" ")[0])
