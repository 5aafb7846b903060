"""When memory is short, who goes for it, and what is said. The control group is made up."""

import re

import pytest

from superwsgi.master.memory.pressure import CALM, PATIENCE, PAUSE, Pressure, Relief, Sizes, is_short, judge
from superwsgi.master.memory.series import Figures
from superwsgi.master.policy.causes import Cause
from superwsgi.system.machine import Room

MIB = 1 << 20


def room(needed, in_use=None, limit=1000):
    return Room("memory.max", limit, needed, needed if in_use is None else in_use)


@pytest.mark.parametrize(
    ("seen", "pressure", "short"),
    [
        (room(949), None, False),
        (room(950), None, True),
        (room(500, 849), 0.5, False),
        (room(500, 850), 0.1, True),
        (room(500, 990), 0.09, False),
        (room(500, 990), None, False),
    ],
)
def test_when_it_is_short(seen, pressure, short):
    assert is_short(seen, pressure) is short


def test_it_is_over_only_well_below():
    assert is_short(room(900), None, 0.9)
    assert not is_short(room(850), None, 0.9)


def sizes(number, now, fresh):
    return Sizes(1, number, number, now, fresh)


def test_the_largest_goes_if_its_replacement_is_smaller():
    grown, large = sizes(1, 300, 100), sizes(2, 400, 390)
    assert judge(room(950), [grown, large]) == Relief(grown, leaves_first=True)
    assert judge(room(950), [large]) is None
    assert judge(room(950), []) is None


def test_with_room_for_two_of_them_the_replacement_comes_first():
    assert judge(room(950), [sizes(1, 300, 20)]) == Relief(sizes(1, 300, 20), leaves_first=False)


class Group:
    """A made-up machine whose control group allows 1000 MiB."""

    def __init__(self, root):
        self.root = root
        own = root / "proc/self"
        own.mkdir(parents=True)
        (own / "cgroup").write_text("0::/\n")
        (own / "mountinfo").write_text("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
        (root / "sys/fs/cgroup").mkdir(parents=True)
        (root / "sys/fs/cgroup/memory.max").write_text(f"{1000 * MIB}\n")

    def uses(self, mib):
        (self.root / "sys/fs/cgroup/memory.current").write_text(f"{mib * MIB}\n")


@pytest.fixture
def group(tmp_path):
    return Group(tmp_path / "machine")


@pytest.fixture
def workers(rooms):
    rooms.site = rooms.sitewide.site = rooms.a_site(workers=2)
    return list(rooms.start_serving().workers.values())


@pytest.fixture
def pressure(rooms, group):
    return Pressure(rooms.context, rooms.generations, rooms.agenda, group.root)


def have(workers, now, *mib):
    for worker, (fresh, size) in zip(workers, mib, strict=True):
        worker.series.add(Figures(now - 1, fresh * MIB))
        worker.series.add(Figures(now, size * MIB))


def look(pressure, rooms, seconds):
    """Every second, for so many."""
    for _ in range(int(seconds)):
        rooms.now += 1
        pressure.look(rooms.now)


def test_the_largest_is_recycled_one_at_a_time(rooms, group, workers, pressure):
    have(workers, rooms.now, (50, 300), (50, 400))
    group.uses(960)
    look(pressure, rooms, PATIENCE + 2)
    (decided,) = rooms.agenda
    assert (decided.worker, decided.cause, decided.leaves_first) == (
        workers[1].key,
        Cause.MEMORY_SHORT,
        True,
    )
    assert decided.reason == "memory short: 960M of 1000M (memory.max) needed, it is the largest with 400M"
    assert re.search(
        r'warning .*memory short reason="960M of 1000M \(memory\.max\) needed.*" workers=700M '
        r'next="worker 2 is recycled, the largest with 400M, before its replacement starts"',
        rooms.log,
    )
    look(pressure, rooms, PAUSE - 5)
    assert len(rooms.agenda) == 1


def test_while_another_comes_or_goes_none_is(rooms, group, workers, pressure):
    have(workers, rooms.now, (50, 300), (50, 400))
    workers[0].replace("memory.soft", Cause.MEMORY_SOFT)
    group.uses(960)
    look(pressure, rooms, 2 * PAUSE)
    assert rooms.agenda == []
    assert "worker 1 comes or goes: no other is recycled until then" in rooms.log


def test_the_next_has_to_wait_longer_each_time(rooms, group, workers, pressure):
    have(workers, rooms.now, (50, 300), (50, 400))
    group.uses(960)
    look(pressure, rooms, PATIENCE + 6 * PAUSE)
    assert len(rooms.agenda) == 3


def test_who_is_not_to_blame_stays(rooms, group, workers, pressure):
    have(workers, rooms.now, (100, 110), (100, 120))
    group.uses(990)
    look(pressure, rooms, 2 * PAUSE)
    assert rooms.agenda == []
    assert "no worker is recycled, as none has grown by 5 % of that: other processes have 760M" in rooms.log


def test_it_is_said_when_it_is_over(rooms, group, workers, pressure):
    have(workers, rooms.now, (50, 300), (50, 400))
    group.uses(960)
    look(pressure, rooms, PATIENCE + 1)
    group.uses(500)
    look(pressure, rooms, CALM + 2)
    assert "memory enough again" in rooms.log
    assert rooms.log.count("memory short reason") == 1


def test_a_moment_is_not_enough(rooms, group, workers, pressure):
    have(workers, rooms.now, (50, 300), (50, 400))
    for mib in (960, 500) * 5:
        group.uses(mib)
        look(pressure, rooms, 1)
    assert (rooms.agenda, "memory short" in rooms.log) == ([], False)


def test_without_a_limit_nothing_is_short(rooms, workers, tmp_path):
    look(Pressure(rooms.context, rooms.generations, rooms.agenda, tmp_path), rooms, 5)
    assert rooms.agenda == []
