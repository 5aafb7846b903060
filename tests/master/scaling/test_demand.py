"""What single looks say, and what follows from some of them."""

from dataclasses import replace

import pytest

from superwsgi.master.scaling.demand import (
    LOOK,
    REST,
    Course,
    Decision,
    Load,
    SiteLoad,
    WorkerRoom,
    calls_for_spread,
    decide,
    observe,
    stepped,
)
from superwsgi.master.scaling.memory import UNKNOWN

IDLE = Load(1, most=8, free=8)
COMPUTES = Load(1, busy=4, most=32, free=0, queued=4, hesitates=True, cpu=0.9)
FULL = Load(1, busy=8, most=8, free=0, queued=3, cpu=0.1)


def look(*workers, wanted=None, **more):
    numbered = tuple(replace(worker, number=at + 1) for at, worker in enumerate(workers))
    bounds = {"least": 1, "most": 8, "cpus": 8, **more}
    return SiteLoad(wanted or len(workers), workers=numbered, **bounds)


def after(*looks, room=UNKNOWN):
    """The last decision, with no change done in between."""
    now = 1000.0
    course, decision = Course(now, now), None
    for each in looks:
        now += LOOK
        course = observe(course, each, now)
        decision = decide(course, each, room, now)
    return decision


class TestWhoLacks:
    @pytest.mark.parametrize(
        ("load", "lacking"),
        [
            (IDLE, 0),
            (COMPUTES, 7),
            (FULL, 1),
            (replace(FULL, queued=17), 3),
            (replace(FULL, queued=0), 0),
            (replace(IDLE, busy=3, cpu=0.9), 2),
            (replace(IDLE, busy=1, cpu=1.0), 0),  # one that computes for hours: nobody waits for it
            (replace(IDLE, busy=1, taken=12, cpu=0.95), 11),  # quick ones, which arrive together
            (replace(IDLE, busy=1, taken=12, cpu=0.3), 0),
            (replace(IDLE, busy=7, free=1, refused=20), 3),  # limits.queue: 0
            (replace(COMPUTES, refused=2), 9),
            (replace(IDLE, hangs=True), 1),  # it takes no requests: those that wait are nowhere to be seen
            (replace(IDLE, busy=8, free=1, queued=20), 3),  # a thread has come back this moment
        ],
    )
    def test_of_one_worker(self, load, lacking):
        assert look(load).lacking == lacking

    def test_nobody_while_one_has_room(self):
        """New connections go there."""
        assert look(COMPUTES, FULL, IDLE).lacking == 0

    def test_it_is_uneven_then(self):
        assert look(COMPUTES, IDLE).is_uneven
        assert not look(COMPUTES, FULL).is_uneven
        assert not look(IDLE, IDLE).is_uneven

    def test_all_together(self):
        assert look(COMPUTES, FULL).lacking == 8

    def test_nobody_where_none_is_able(self):
        """All of them hang, or were stopped: they are replaced, which is another matter."""
        assert look(wanted=2).lacking == 0


class TestMore:
    def test_after_some_looks(self):
        assert after(*[look(COMPUTES)] * 2).wanted == 1
        assert after(*[look(COMPUTES)] * 3) == Decision(
            4, "7 requests wait, and all workers compute (CPU 90 % each)"
        )

    def test_one_look_may_find_nothing(self):
        assert after(look(COMPUTES), look(COMPUTES), look(IDLE), look(COMPUTES)).wanted == 4

    def test_a_burst_is_none(self):
        assert after(look(COMPUTES), look(COMPUTES), look(IDLE), look(IDLE), look(COMPUTES)).wanted == 1

    def test_half_as_many_as_have_something_to_do(self):
        waits = replace(COMPUTES, busy=2, queued=0)
        assert after(*[look(waits)] * 3).wanted == 2
        assert after(*[look(FULL, FULL)] * 3).wanted == 3
        assert after(*[look(replace(waits, busy=4))] * 3).wanted == 3
        assert after(*[look(COMPUTES, COMPUTES)] * 3).wanted == 5

    def test_none_while_any_does_not_serve_yet_or_dies(self):
        assert after(*[look(COMPUTES, settled=False)] * 10).wanted == 1

    def test_looks_before_that_do_not_count(self):
        settled, not_settled = look(COMPUTES), look(COMPUTES, settled=False)
        assert after(settled, settled, not_settled, settled).wanted == 1

    @pytest.mark.parametrize(
        ("looked", "room", "of"),
        [
            (look(COMPUTES, most=1), UNKNOWN, "workers.max"),
            (look(COMPUTES, cpus=1), UNKNOWN, "CPU"),
            (look(replace(COMPUTES, cpu=1.9), cpus=2), UNKNOWN, "CPU"),
            (look(replace(FULL, cpu=0.95), cpus=1), UNKNOWN, "CPU"),
            (look(COMPUTES), WorkerRoom(1, "memory", "memory: 10M left"), "memory"),
            (look(COMPUTES), WorkerRoom(0, "memory", "memory: 10M left"), "memory"),
        ],
    )
    def test_what_stands_against_it(self, looked, room, of):
        decision = after(*[looked] * 3, room=room)
        assert decision.wanted == 1
        assert decision.limit.of == of
        assert decision.limit.reason

    def test_one_that_hangs_has_another_beside_it(self):
        hangs = replace(IDLE, busy=1, hangs=True, cpu=1.0)
        assert after(*[look(hangs)] * 3) == Decision(2, "0 requests wait, and workers hang")
        assert after(*[look(hangs, IDLE)] * 3).wanted == 2

    def test_what_was_seen_long_ago_does_not_count(self):
        now, looked = 1000.0, look(COMPUTES)
        course = Course(now, now)
        for _ in range(3):
            now += LOOK
            course = observe(course, looked, now)
        assert course.calls_for
        assert not observe(course, looked, now + 60).calls_for

    def test_a_crowded_machine(self):
        """Each gets a fifth of a CPU and they hesitate: another one helps, up to the CPUs."""
        crowded = replace(COMPUTES, cpu=0.2)
        assert after(*[look(crowded, cpus=2)] * 3).wanted == 2
        assert after(*[look(crowded, crowded, cpus=2)] * 3).limit.of == "CPU"

    def test_those_that_wait_may_be_more_than_cpus(self):
        assert after(*[look(FULL, FULL, cpus=1)] * 3).wanted == 3


class TestFewer:
    def rest(self, *workers, seconds=REST + 2, **more):
        return after(*[look(*workers, **more)] * int(seconds / LOOK))

    def test_after_a_minute_and_by_half(self):
        assert self.rest(*[IDLE] * 5, seconds=REST - 2).wanted == 5
        decision = self.rest(*[IDLE] * 5)
        assert decision == Decision(3, "little to do for 1m00s: now 0 % CPU, 0 threads busy")

    def test_not_below_the_least(self):
        assert self.rest(*[IDLE] * 5, least=4).wanted == 4

    def test_not_while_one_does_not_serve(self):
        assert self.rest(*[IDLE] * 4, settled=False).wanted == 4

    def test_not_what_is_needed(self):
        assert self.rest(*[replace(IDLE, cpu=0.6)] * 4).wanted == 4
        assert self.rest(*[replace(IDLE, cpu=0.3)] * 4).wanted == 3
        assert self.rest(*[replace(IDLE, busy=4)] * 4).wanted == 4
        assert self.rest(*[replace(IDLE, busy=2)] * 4).wanted == 2

    def test_not_one_that_would_be_cut_short(self):
        """It has had a request in hand for so long that it might not end within timeouts.graceful."""
        streams = replace(IDLE, busy=1, longest=20.0)
        assert self.rest(IDLE, IDLE, streams, IDLE, patience=15.0).wanted == 3
        assert self.rest(IDLE, IDLE, streams, patience=15.0).wanted == 3
        assert self.rest(streams, IDLE, IDLE, patience=15.0).wanted == 2

    def test_one_step_after_another(self):
        now, looked = 1000.0, look(*[IDLE] * 8)
        course = Course(now, now)
        wanted, changes = 8, []
        for _ in range(400):
            now += LOOK
            course = observe(course, looked, now)
            decision = decide(course, looked, UNKNOWN, now)
            course = stepped(course, decision, looked, now)
            if decision.wanted != wanted:
                wanted = decision.wanted
                changes.append((now - 1000.0, wanted))
                looked = look(*[IDLE] * wanted)
        assert [number for _, number in changes] == [4, 2, 1]
        assert all(REST <= at <= REST + 30 for at, _ in changes)


def test_connections_move_while_it_stays_uneven():
    now, course, moved = 1000.0, Course(1000.0, 1000.0), []
    for at in range(20):
        now += LOOK
        course = observe(course, look(IDLE, FULL) if at != 12 else look(IDLE, IDLE), now)
        moved += [at + 1] if calls_for_spread(course) else []
    assert moved == [8]


def test_what_is_regretted_again_and_again_is_done_later():
    now = 1000.0
    course = Course(now, now)
    rests = []
    for _ in range(4):
        course = stepped(course, Decision(1), look(IDLE, IDLE), now)
        course = stepped(course, Decision(2), look(COMPUTES), now + 10)
        course = stepped(course, Decision(4), look(COMPUTES, COMPUTES), now + 12)  # the same time up
        rests.append(course.rest)
        now += 60
    assert rests == [REST, 2 * REST, 3 * REST, 4 * REST]
    assert observe(course, look(IDLE), now + 3600).rest == REST


@pytest.mark.parametrize("number", [1 << 62, 10**9])
def test_whatever_a_board_says_the_step_is_small(number):
    lies = Load(1, busy=number, most=1, free=0, queued=number, taken=number, cpu=1.0, longest=1e12)
    assert after(*[look(lies)] * 50).wanted == 4
