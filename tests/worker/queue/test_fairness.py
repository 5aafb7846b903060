"""Who is next: case by case, and what comes of it for quick and slow pages, in simulated time."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superwsgi.worker.connection.alarm import NEVER, SECOND
from superwsgi.worker.queue.fairness import Head, Turn, fair, fifo, gap_before, while_of
from tests.worker.queue.simulation import MS, Page, Simulation

NOW = 1000 * SECOND
QUICK = MS // 5
SLOW = 160 * MS
PART = SLOW // 16


def head(expected: int, ago: int = SECOND, passed: int | None = None) -> Head:
    """One that came, and first let others pass, so long ago."""
    one = Head(expected, NOW - ago)
    one.passed = NEVER if passed is None else NOW - passed
    return one


def ask(
    *heads: Head, last: bool = False, short: int = QUICK, started: int = SECOND, threads: int = 4
) -> Turn:
    return fair(heads, NOW, threads, last, short, NOW - started)


def test_first_come_first_served():
    heads = [head(QUICK, ago=1), head(SLOW, ago=3), head(QUICK, ago=2)]
    assert fifo(heads).head is heads[1]


class TestFair:
    def test_a_quick_one_runs_at_once(self):
        one = head(QUICK)
        assert ask(one, last=True, started=0).head is one

    def test_it_passes_a_slow_one(self):
        slow, quick = head(SLOW, ago=2), head(QUICK, ago=1)
        assert ask(slow, quick).head is quick
        assert slow.passed == NOW

    def test_and_one_that_came_later_does_not_pass_one_that_takes_about_as_long(self):
        older, newer = head(SLOW, ago=2), head(SLOW // 3, ago=1)
        assert ask(older, newer).head is older

    @pytest.mark.parametrize(("passed", "slow_is_next"), [(PART - 1, False), (PART, True)])
    def test_a_slow_one_lets_others_pass_for_a_while(self, passed, slow_is_next):
        slow, quick = head(SLOW, ago=2, passed=passed), head(QUICK, ago=1)
        assert ask(slow, quick).head is (slow if slow_is_next else quick)

    def test_the_last_thread_is_kept_for_as_long(self):
        slow = head(SLOW)
        turn = ask(slow, last=True)
        assert (turn.head, turn.until, slow.passed) == (None, NOW + PART, NOW)
        assert ask(head(SLOW, passed=PART), last=True).head is not None

    def test_slow_ones_begin_a_gap_apart(self):
        turn = ask(head(SLOW), started=PART // 2)
        assert (turn.head, turn.until) == (None, NOW + PART // 2)
        assert ask(head(SLOW), started=PART).head is not None

    def test_quick_ones_do_not_wait_for_the_gap(self):
        slow, quick = head(SLOW, ago=2, passed=PART), head(QUICK, ago=1)
        assert ask(slow, quick, started=0).head is quick

    def test_nor_do_those_between_wait_for_that_of_much_slower_ones(self):
        report, slow = head(100 * SLOW, ago=2, passed=50 * PART), head(SLOW, ago=1)
        assert ask(report, slow, started=PART).head is slow
        assert ask(report, slow, started=PART // 2).until == NOW + PART // 2

    def test_a_while_and_a_gap_are_all_that_others_can_cost_it(self):
        report, slow = head(100 * SLOW, ago=2, passed=200 * PART), head(SLOW, ago=1)
        assert ask(report, slow, last=True, started=0).head is report

    def test_without_quick_ones_all_are_served_in_turn(self):
        for threads, last in product((1, 8, 100), (False, True)):
            older, newer = head(SLOW, ago=2), head(SLOW, ago=1)
            turn = ask(newer, older, last=last, short=SLOW, started=0, threads=threads)
            assert turn.head is older
            assert ask(newer, older, last=last, short=NEVER, started=0, threads=threads).head is older

    def test_nothing_known_is_first_come_first_served(self):
        older, newer = head(0, ago=2), head(0, ago=1)
        assert ask(newer, older, last=True, short=NEVER, started=0).head is older

    @pytest.mark.parametrize("threads", [1, 2, 8, 12, 32, 1000])
    def test_while_and_gap_are_parts_of_a_turn(self, threads):
        assert while_of(head(SLOW), threads) <= min(SLOW / 16, SLOW / threads / 2)
        assert gap_before(head(SLOW), threads) <= min(SLOW / 16, SLOW / threads * 0.77)

    @given(
        st.lists(st.tuples(st.integers(0, 10**11), st.integers(0, 100), st.none() | st.integers(0, 10**9))),
        st.booleans(),
        st.integers(0, 10**10) | st.just(NEVER),
        st.integers(0, 10**9),
        st.integers(1, 100),
    )
    @settings(deadline=None)
    def test_it_always_says_who_or_when(self, heads, last, short, started, threads):
        waiting = [head(*each) for each in heads] or [head(SLOW)]
        turn = ask(*waiting, last=last, short=short, started=started, threads=threads)
        if turn.head is None:
            assert NOW < turn.until <= NOW + max(each.expected for each in waiting) // 8
        else:
            assert turn.head in waiting

    def test_who_is_told_when_may_begin_then(self):
        slow = head(SLOW)
        turn = ask(slow, last=True, started=0)
        assert fair([slow], turn.until, 4, True, QUICK, NOW).head is slow


# In simulated time.

FEW = Page("/quick", QUICK, 6)


def slow(clients: int, takes: int = 100 * MS) -> Page:
    return Page("/slow", takes, clients)


def both(threads: int, *pages: Page, seconds: float = 3) -> tuple[Simulation, Simulation]:
    """The same with `fair` and with `fifo`."""
    fair, fifo = (Simulation(policy, threads, *pages).run(seconds) for policy in ("fair", "fifo"))
    return fair, fifo


def ratio(runs: tuple[Simulation, Simulation], path: str) -> float:
    """What a page keeps of its throughput."""
    return runs[0].figures[path].rate / runs[1].figures[path].rate


class TestQuickPagesBesideSlowOnes:
    @pytest.mark.parametrize(
        ("threads", "clients", "p50", "p99", "kept"),
        [(8, 60, 20, 50, 0.9), (32, 60, 5, 25, 0.95), (32, 300, 25, 25, 0.95), (2, 10, 20, 100, 0.9)],
    )
    def test_do_not_wait_for_them(self, threads, clients, p50, p99, kept):
        runs = both(threads, FEW, slow(clients))
        quick = runs[0].figures["/quick"]
        assert quick.p50 <= p50
        assert quick.p99 <= p99
        assert ratio(runs, "/slow") >= kept
        assert ratio(runs, "/quick") > 30
        assert runs[1].figures["/quick"].p50 > 80  # as it was

    def test_with_one_thread_they_wait_for_one_of_them(self):
        runs = both(1, FEW, slow(10), seconds=10)
        assert runs[0].figures["/quick"].p99 <= 130
        assert runs[1].figures["/quick"].p50 >= 800
        assert ratio(runs, "/slow") >= 0.9

    @pytest.mark.parametrize(("threads", "clients"), [(8, 4), (32, 24)])
    def test_nor_for_much_slower_ones_and_these_not_for_each_other(self, threads, clients):
        runs = both(threads, FEW, slow(60), Page("/report", 10 * SECOND, clients), seconds=40)
        quick, report = runs[0].figures["/quick"], runs[0].figures["/report"]
        assert quick.p50 <= 5
        assert quick.p99 <= 60
        assert ratio(runs, "/slow") >= 0.9
        assert ratio(runs, "/report") >= 0.75
        assert report.p99 <= 10_000

    def test_a_flood_of_them_does_not_starve_slow_ones(self):
        runs = both(8, Page("/quick", QUICK, 200, think=0), slow(10))
        assert ratio(runs, "/slow") >= 0.85
        assert runs[0].figures["/slow"].p99 <= 2 * runs[1].figures["/slow"].p99

    def test_of_a_hundred_paths_do_not_wait_either(self):
        """Most of which are not known yet: they come in the middle."""
        pages = [
            Page(f"/{'abcdefghij'[n // 10]}/{'abcdefghij'[n % 10]}", QUICK, 1, 50 * MS) for n in range(100)
        ]
        fair, _ = both(8, slow(60), *pages)
        waits = sorted(wait for page in pages for wait in fair.figures[page.path].waits)
        assert waits[len(waits) // 2] <= 20 * MS

    def test_one_that_takes_ten_times_as_long_from_now_on_is_slow_soon(self):
        changing = Page("/page", lambda random, now: QUICK if now < 2 * SECOND else 200 * MS, 20)
        run = Simulation("fair", 8, FEW, changing).run(6, after=3 * SECOND)
        assert run.figures["/quick"].p50 <= 5
        assert run.figures["/page"].rate >= 0.85 * 40

    def test_one_that_is_quick_again_is_quick_soon(self):
        changing = Page("/page", lambda random, now: 200 * MS if now < 2 * SECOND else QUICK, 4)
        run = Simulation("fair", 8, changing, slow(60)).run(8, after=6 * SECOND)
        assert run.figures["/page"].p50 <= 20

    def test_one_that_takes_a_second_now_and_then_stops_nobody(self):
        mixed = Page("/mixed", lambda random, now: SECOND if random.random() < 0.02 else QUICK, 10)
        runs = both(8, FEW, mixed, seconds=10)
        assert runs[0].figures["/quick"].p50 <= 5
        assert ratio(runs, "/quick") >= 0.9
        assert ratio(runs, "/mixed") >= 0.9


def test_without_quick_ones_all_are_served_in_turn():
    """All take as long as each other, by and large."""
    pages = [slow(40), Page("/as-slow", 150 * MS, 40), Page("/half", 50 * MS, 40)]
    fair, fifo = (Simulation(policy, 8, *pages).teach(*pages).run(3) for policy in ("fair", "fifo"))
    assert fair.order == fifo.order


def test_many_of_one_kind_are_served_in_turn():
    fair, fifo = both(8, Page("/orders/1", 10 * MS, 100))
    assert fair.order == fifo.order


KINDS = [
    Page(path, takes, 0, NEVER)
    for path, takes in (("/a", MS), ("/b", 20 * MS), ("/c", 100 * MS), ("/d", SECOND))
]
ARRIVALS = st.lists(st.tuples(st.integers(0, 500 * MS), st.sampled_from(KINDS)), min_size=2, max_size=40)


def replayed(policy: str, threads: int, arrivals: list[tuple[int, Page]]) -> list:
    """The client of each arrival, in their order, after all have been served."""
    exact = [Page(page.path, lambda random, now, takes=page.takes: takes, 0, NEVER) for page in KINDS]
    run = Simulation(policy, threads, *exact).teach(*exact)
    clients = [run.come(exact[KINDS.index(page)], when) for when, page in arrivals]
    run.run(1000)
    return clients


@given(ARRIVALS, st.integers(1, 4))
@settings(max_examples=150, deadline=None)
def test_nobody_waits_longer_than_in_turn_by_more_than_the_bound(arrivals, threads):
    arrivals = sorted(arrivals, key=lambda arrival: arrival[0])
    bound = 0
    for (_, page), ours, in_turn in zip(
        arrivals, replayed("fair", threads, arrivals), replayed("fifo", threads, arrivals), strict=True
    ):
        one = Head(page.takes, 0)
        bound += gap_before(one, threads) + while_of(one, threads) + page.takes // 4
        assert ours.began <= in_turn.began + bound
