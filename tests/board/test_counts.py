"""How long requests took, from a histogram."""

import pytest

from superwsgi.board.counts import BOUNDS, BUCKETS, quantile


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
