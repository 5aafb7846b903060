"""An outage, as the log, `superwsgi why` and status have it; and that it does not fill the disk."""

import pytest

from superwsgi.master.outage.judging import PATIENCE
from superwsgi.master.outage.outages import Outages
from superwsgi.master.policy.death import EARLY, LONGEST
from superwsgi.messages import BootFailed


@pytest.fixture
def outages(rooms):
    rooms.start_serving()
    rooms.stopping = False
    return Outages(rooms.context, rooms.generations, lambda: rooms.stopping)


def boot(rooms):
    """The workers that are asked for begin."""
    rooms.turn()
    return rooms.begin_workers(rooms.generations.current)


def fail(rooms):
    """All workers that there are end; those that are tried then do not boot."""
    for worker in [each for _, each in rooms.generations.workers()]:
        rooms.worker_ends(worker, 1)
    for worker in boot(rooms):
        rooms.worker_says(worker, BootFailed("no database driver", "Traceback\n  many lines"))
        rooms.worker_ends(worker, 3)


def look(rooms, outages, after=0.0):
    rooms.now += after
    outages.look(rooms.now)
    return outages.reason(rooms.now)


def incidents(rooms, event):
    return [one for one in rooms.incidents.find(None, 100) if one.event == event]


def test_it_is_said_once_with_what_fails(rooms, outages):
    assert look(rooms, outages) == ""
    fail(rooms)
    assert look(rooms, outages) == "", "it may be replaced"
    assert look(rooms, outages, PATIENCE) == "nothing runs for 3s: died: exit code 3: no database driver"
    assert look(rooms, outages, 30.0).startswith("nothing runs for 33s: ")
    assert rooms.log.count(" site down ") == 1
    [one] = incidents(rooms, "site down")
    assert (one.cause, one.level) == ("died: exit code 3: no database driver", "error")


def test_it_is_over_once_workers_stay(rooms, outages):
    fail(rooms)
    look(rooms, outages)
    look(rooms, outages, PATIENCE)
    rooms.now += LONGEST
    rooms.turn()
    rooms.serve(rooms.generations.current)
    assert look(rooms, outages).startswith("no worker has stayed for "), "but one serves"
    assert " site recovered " not in rooms.log
    assert look(rooms, outages, EARLY) == ""
    assert ' site recovered after=33s reason="died: exit code 3: no database driver" ' in rooms.log
    assert incidents(rooms, "site down")[0].then == "recovered after 33s"


def test_a_stop_is_none(rooms, outages):
    rooms.stopping = True
    fail(rooms)
    look(rooms, outages)
    assert look(rooms, outages, PATIENCE) == ""
    assert " site down " not in rooms.log


def test_three_hours_of_it_do_not_fill_the_disk(rooms, outages):
    for _ in range(3 * 120):
        fail(rooms)
        look(rooms, outages, LONGEST)
    told = [line for line in rooms.log.splitlines() if " died " in line and " error " in line]
    assert len(told) < 2 * (18 + 8 + 5), "each worker's every ten minutes, after the first ones"
    assert incidents(rooms, "died")[0].times > 150, "all of them are counted"
