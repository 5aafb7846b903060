"""Rates and latencies of the last minute, from samples of what was counted."""

import pytest

from superwsgi.counts import BOUNDS, BUCKETS, Counts, quantile
from superwsgi.master.policy.last_minute import EVERY, Sample, due, keep, since


def answered(count):
    return Counts(answers=(count, 0, 0, 0))


def samples(until, rate=100):
    """One each EVERY seconds, while so many requests a second are answered."""
    return [Sample(when, answered(int(rate * when))) for when in range(0, until + 1, int(EVERY))]


class TestSamples:
    def test_one_each_few_seconds(self):
        assert due([], 10.0)
        assert not due(samples(10), 14.9)
        assert due(samples(10), 15.0)

    def test_no_more_are_kept_than_reach_back_a_minute(self):
        kept = keep(samples(600), 602.0)
        assert [kept[0].when, kept[-1].when] == [540, 600]

    def test_after_a_pause_the_last_one_before_it_is_kept(self):
        assert [sample.when for sample in keep(samples(600), 5000.0)] == [600]


class TestRates:
    def test_over_the_last_minute(self):
        lately = since(samples(600), Sample(602.0, answered(60_200)))
        assert (lately.seconds, lately.counts.requests) == (62.0, 6200)
        assert lately.rate == 100.0

    def test_right_after_the_start_over_what_there_is(self):
        lately = since(samples(0), Sample(2.0, answered(50)))
        assert (lately.seconds, lately.rate) == (2.0, 25.0)

    @pytest.mark.parametrize("known", [[], samples(0)], ids=["no sample", "no time has passed"])
    def test_of_no_time_there_is_no_rate(self, known):
        assert since(known, Sample(0.0, answered(50))).rate == 0.0


class TestQuantiles:
    def test_of_nothing(self):
        assert quantile((0,) * BUCKETS, 0.5) is None

    def test_within_a_bucket(self):
        """A hundred between 5 and 10 ms."""
        buckets = histogram({0.01: 100})
        assert quantile(buckets, 0.5) == pytest.approx(0.0075)
        assert quantile(buckets, 0.99) == pytest.approx(0.00995)

    def test_the_first_bucket_begins_with_nothing(self):
        assert quantile(histogram({BOUNDS[0]: 10}), 0.5) == pytest.approx(BOUNDS[0] / 2)

    def test_across_buckets(self):
        buckets = histogram({0.001: 98, 2.5: 2})
        assert 0.0005 < quantile(buckets, 0.5) < 0.001
        assert 1.0 < quantile(buckets, 0.99) <= 2.5

    def test_beyond_the_last_bound_is_that_bound(self):
        assert quantile((*((0,) * (BUCKETS - 1)), 3), 0.5) == BOUNDS[-1]

    @pytest.mark.parametrize("bound", BOUNDS)
    def test_one_alone_is_in_its_bucket(self, bound):
        value = quantile(histogram({bound: 1}), 0.5)
        assert max([0.0, *(other for other in BOUNDS if other < bound)]) < value <= bound


def histogram(counted):
    """So many for each bound."""
    return (*(counted.get(bound, 0) for bound in BOUNDS), 0)
