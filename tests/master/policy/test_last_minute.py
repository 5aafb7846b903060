"""Rates and latencies of the last minute, from samples of what was counted."""

import pytest

from superwsgi.board.counts import Counts
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
