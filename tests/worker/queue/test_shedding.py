"""Who is refused so that others are in time: case by case, and what comes of it in simulated time."""

from __future__ import annotations

import pytest

from superwsgi.worker.connection.alarm import SECOND
from superwsgi.worker.queue.shedding import LONGEST_ADVICE, ShedRule, WaitingLine
from tests.worker.queue.overload import MS, Fates, Overload, Stream

NOW = 1000 * SECOND
AGE = SECOND // 2


@pytest.fixture
def rule():
    return ShedRule(AGE, threads=4)


def taken(rule: ShedRule, *apart: int, waiting: int = 0) -> WaitingLine:
    """A line of which some have been taken, so long after each other, the last one NOW; others still wait."""
    line, now = WaitingLine(), NOW - sum(apart)
    for _ in range(len(apart) + waiting):
        line.join(now)
    for gap in apart:
        now += gap
        line.take(rule, now)
    return line


class TestALineStands:
    def test_once_all_were_late_for_a_whole_window(self, rule):
        line = WaitingLine()
        line.judge(True, NOW)
        line.judge(True, NOW + AGE - 1)
        assert not line.stands(rule, NOW + AGE - 1)
        assert line.stands(rule, NOW + AGE)

    def test_and_not_if_one_was_in_time(self, rule):
        line = WaitingLine()
        line.judge(True, NOW)
        line.judge(False, NOW + AGE - 1)
        line.judge(True, NOW + AGE)
        assert not line.stands(rule, NOW + 2 * AGE - 1)

    def test_until_nobody_had_to_be_refused_for_a_window(self, rule):
        line = WaitingLine()
        line.judge(True, NOW)
        assert line.stands(rule, NOW + AGE)
        line.judge(False, NOW + AGE + 1)
        line.refuse(NOW + 2 * AGE - 1)
        assert line.stands(rule, NOW + 3 * AGE - 2)
        assert not line.stands(rule, NOW + 3 * AGE - 1)

    def test_and_not_while_more_workers_may_come(self, rule):
        line = WaitingLine()
        line.judge(True, NOW)
        rule.workers_may_grow = True
        assert not line.stands(rule, NOW + 10 * AGE)
        rule.workers_may_grow = False
        assert line.stands(rule, NOW + 10 * AGE)


class TestHowLongANewcomerWaits:
    def test_by_the_pace_at_which_others_were_taken(self, rule):
        line = taken(rule, *[10 * MS] * 50, waiting=7)
        assert line.wait(NOW, 7) == 70 * MS

    def test_whether_threads_end_together_or_not(self, rule):
        line = taken(rule, *[40 * MS, 0, 0, 0] * 20)
        assert line.wait(NOW, 10) == pytest.approx(100 * MS, rel=0.3)

    def test_longer_if_none_was_taken_for_long(self, rule):
        line = taken(rule, *[10 * MS] * 50, waiting=7)
        assert line.wait(NOW + 3 * SECOND, 7) == 3 * SECOND + 70 * MS

    def test_nothing_is_known_of_a_new_line(self, rule):
        line = WaitingLine()
        line.join(NOW)
        assert line.wait(NOW, 1) == 0

    def test_that_nobody_came_is_no_pace(self, rule):
        line = taken(rule, *[10 * MS] * 50)
        line.join(NOW + 60 * SECOND)
        line.take(rule, NOW + 60 * SECOND + 10 * MS)
        assert line.wait(NOW + 60 * SECOND + 10 * MS, 10) == 100 * MS


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("apart", "waiting", "seconds"), [(MS, 3, 1), (SECOND, 4, 4), (30 * SECOND, 10, LONGEST_ADVICE)]
    )
    def test_is_when_those_before_it_are_through_within_bounds(self, rule, apart, waiting, seconds):
        assert taken(rule, *[apart] * 40, waiting=waiting).advice(NOW) == seconds


class TestWhoStays:
    @pytest.mark.parametrize(
        ("waits", "stay"),
        [
            ([], []),
            ([100, 50, 0], [True, True, True]),
            ([501, 400, 300], [False, True, True]),
            ([450, 450, 450, 0], [True, False, False, True]),
            ([0] * 7, [True] * 6 + [False]),
            ([900, 800, 700], [False, False, True]),
        ],
    )
    def test_of_those_that_wait(self, rule, waits, stay):
        """100 ms are between two that are taken."""
        line = taken(rule, *[100 * MS] * 40)
        assert line.kept([wait * MS for wait in waits], rule, NOW) == stay


# In simulated time.

PAGE = 50 * MS
THREADS = 4
CAPACITY = THREADS * SECOND / PAGE

either = pytest.mark.parametrize("policy", ["fair", "fifo"])


def overload(
    policy: str, *phases: tuple[float, float], takes: int = PAGE, threads: int = THREADS, **more: bool
) -> Fates:
    """Phases of so many seconds, with so many times as many requests as can be answered; their fates."""
    capacity = threads * SECOND / takes

    def rate(now: float) -> float:
        for lasts, times in phases:
            if now < lasts:
                return times * capacity
            now -= lasts
        return 0.0

    whole = sum(lasts for lasts, _ in phases)
    return Overload(policy, threads, AGE, [Stream("/page", takes, rate, **more)]).run(whole)


@either
@pytest.mark.parametrize("regular", [False, True], ids=["by chance", "in step"])
@pytest.mark.parametrize("threads", [1, 4, 32])
def test_twice_as_much_as_can_be_answered(policy, threads, regular):
    """What is served is in time, hardly less is, and it is over soon."""
    takes = threads * PAGE // THREADS
    fates = overload(policy, (2, 0.5), (8, 2), (3, 0.5), takes=takes, threads=threads, regular=regular)
    during, settled, after = fates.between(2, 10), fates.between(5, 10), fates.between(11, 13)
    assert during.p99() <= 2 * AGE / SECOND
    assert settled.p99() <= 1.3 * AGE / SECOND
    assert len(settled.ran) >= 0.93 * 5 * CAPACITY
    at_once = [each for each in settled.refused if each.waited < 10 * MS]
    assert len(at_once) >= 0.75 * len(settled.refused)
    assert not after.refused
    assert after.p99() < AGE / SECOND


@either
class TestNobodyIsRefused:
    def test_while_all_are_answered(self, policy):
        assert not overload(policy, (10, 0.9)).refused

    def test_of_those_that_wait_for_less_than_the_limit(self, policy):
        """All threads are taken, and what comes has to wait for as long as the first of them had to."""
        fates = overload(policy, (0.4, 2), (10, 1.0), regular=True)
        assert min(each.waited for each in fates.between(2, 10).ran) > 0.5 * AGE
        assert not fates.refused

    @pytest.mark.parametrize(("count", "refuses"), [(55, False), (200, True)])
    def test_of_a_burst_that_is_worked_off_within_twice_the_limit(self, policy, count, refuses):
        page = Stream("/page", PAGE, lambda now: 20.0, regular=True)
        fates = Overload(policy, THREADS, AGE, [page]).burst(page, count, SECOND).run(5)
        assert max(each.waited for each in fates.ran) > AGE
        assert bool(fates.refused) == refuses


def test_a_slow_page_is_shed_and_quick_ones_are_not():
    slow = Stream("/slow", 200 * MS, lambda now: 40.0)  # 20 a second is all that four threads can do
    quick = Stream("/quick", 2 * MS, lambda now: 50.0)
    fates = Overload("fair", THREADS, AGE, [slow, quick]).run(20)
    assert not fates.between(0, 20, "/quick").refused
    assert len(fates.between(0, 20, "/slow").ran) >= 0.85 * 20 * 20
    assert fates.between(5, 20, "/slow").p99() <= 2 * AGE / SECOND


def test_when_all_hang_who_comes_knows_at_once():
    fates = overload("fair", (1, 0.5), (10, 0.5), takes=300 * SECOND)
    assert not fates.refused, "nobody has come"
    streams = [Stream("/page", 300 * SECOND, lambda now: 10.0, regular=True)]
    fates = Overload("fair", THREADS, AGE, streams).run(10)
    late = fates.between(3, 10)
    assert len(late.refused) == len(late.of)
    assert all(each.waited == 0 for each in late.refused)
