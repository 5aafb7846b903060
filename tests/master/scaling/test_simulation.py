"""What the number of workers does under loads of many shapes, by the functions that decide it."""

import itertools
import math

import pytest

from tests.master.scaling.simulation import Site, room_for

COMPUTES = 20.0
"""Requests a second that keep one CPU busy: each computes for 50 ms."""


def step(before, after, at=60.0, until=math.inf):
    return lambda second: COMPUTES * (after if at <= second < until else before)


def sine(low, high, period):
    return lambda second: COMPUTES * (low + (high - low) * (1 - math.cos(2 * math.pi * second / period)) / 2)


@pytest.mark.parametrize(("workers", "seconds"), [(2, 3.0), (4, 6.0), (8, 8.0)])
@pytest.mark.parametrize("before", [0.0, 0.3])
def test_a_step_up_is_served_within_seconds(workers, seconds, before):
    site = Site(step(before, workers - 0.4), most=workers).run(90)
    assert site.reached(workers, since=60.0) <= seconds
    assert site.numbers[-1] == workers


@pytest.mark.parametrize("workers", [2, 4, 8])
def test_after_two_minutes_of_rest_there_is_one_again(workers):
    site = Site(step(workers - 0.4, 0.0, at=60.0), most=workers, cpus=workers).run(180)
    assert max(site.numbers) == workers
    assert site.numbers[-1] == 1


def test_it_goes_down_slowly():
    site = Site(step(3.6, 0.0, at=60.0), most=4).run(180)
    assert site.numbers[2 * 115] == 4, "a minute at least"
    assert 2 in site.numbers, "by half"


@pytest.mark.parametrize("period", [20.0, 90.0])
def test_an_hour_of_quick_sines_is_no_reason_to_go_up_and_down(period):
    site = Site(sine(0.1, 3.0, period)).run(3600)
    assert len(site.turns) <= 2
    assert site.numbers[-1] >= 3


@pytest.mark.parametrize("period", [120.0, 180.0, 300.0])
def test_slower_sines_are_followed_and_no_more_than_that(period):
    """What goes for a minute and comes back at once is learned after a while: at first it might be chance."""
    site = Site(sine(0.1, 3.0, period)).run(3600)
    assert len(site.turns) <= min(2 * 3600 / period, 24)


@pytest.mark.parametrize("load", [0.5, 1.0, 2.2, 3.0])
def test_a_steady_load_has_a_steady_number(load):
    site = Site(lambda second: COMPUTES * load).run(600)
    settled = site.numbers[2 * 300 :]
    assert len(set(settled)) == 1
    assert load < settled[-1] <= 2 * load + 1


def test_what_one_worker_does_within_a_second_is_no_reason_for_another():
    def bursts(second):
        return COMPUTES * (1.0 if second % 60 < 0.5 else 0.1)

    assert set(Site(bursts).run(600).numbers) == {1}


@pytest.mark.parametrize("length", [5.0, 15.0])
def test_bursts_that_come_back_within_a_minute_find_the_workers_there(length):
    def bursts(second):
        return COMPUTES * (3.5 if second % 45 < length else 0.1)

    site = Site(bursts).run(600)
    assert len(site.turns) <= 1


def test_a_page_that_waits_has_threads_and_no_workers():
    """Twenty at a time, each of which waits two seconds and computes nothing."""
    site = Site(lambda second: 10.0, computes=0.0, waits=2.0, threads=32).run(600)
    assert set(site.numbers) == {1}


def test_one_that_takes_all_threads_there_may_be_has_workers_beyond_the_cpus():
    site = Site(lambda second: 60.0, computes=0.0, waits=1.0, threads=16, cpus=2).run(120)
    assert site.numbers[-1] >= 4


def test_requests_that_compute_get_no_more_workers_than_there_are_cpus():
    site = Site(lambda second: COMPUTES * 6, cpus=2).run(300)
    assert max(site.numbers) == 2
    assert "CPU" in site.said


def test_never_more_than_may_be():
    site = Site(lambda second: COMPUTES * 100, most=3).run(300)
    assert max(site.numbers) == 3
    assert set(site.said) == {"workers.max"}


def test_not_against_memory():
    site = Site(lambda second: COMPUTES * 6, room=room_for(2)).run(300)
    assert max(site.numbers) == 2
    assert set(site.said) == {"memory"}


def test_a_leak_ends_its_growth_and_nobody_flaps():
    """Each worker gets larger all the time, until there is room for none beside those that there are."""
    site = Site(sine(0.5, 6.0, 240.0), room=lambda site: room_for(int(8 - site.now % 3600 / 300))(site))
    site.run(1800)
    grew = [at for at, (a, b) in enumerate(itertools.pairwise(site.numbers)) if b > a]
    assert grew
    assert len(site.turns) <= 15


def test_no_more_while_those_that_were_added_do_not_serve():
    """They take a minute to load: until then nobody knows whether they are enough."""
    site = Site(step(0.0, 7.0, at=10.0), boots=60.0).run(60)
    assert max(site.numbers) == 4
