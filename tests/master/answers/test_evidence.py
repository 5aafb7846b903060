"""Which kinds clearly fail more often than before: single cases, and releases by the hundred."""

import pytest

from superwsgi.master.answers.evidence import (
    NOTHING,
    Answered,
    Compared,
    Reference,
    badness,
    may_be_worse,
    worse,
)
from tests.master.answers.releases import TOLERATED, gone_back

RATES = [0.3, 3, 30, 300]  # requests a second of each page
TWENTY_LOOKS = frozenset(range(20))


def answered(failed, of, each=1):
    """`of` answers, of which the good ones are known from one in `each`."""
    good = of - failed
    return Answered(failed, good, good * each)


def kind(now, before=(0, 0), name="/", looks=TWENTY_LOOKS, times=()):
    return Compared(name, answered(*now), looks, Reference(answered(*before), times))


def found(*kinds, tolerated=TOLERATED):
    return [each.name for each in worse(kinds, tolerated)]


class TestOneKind:
    def test_a_page_that_fails_now_and_did_not_before(self):
        assert found(kind((30, 100), (0, 1000)))

    @pytest.mark.parametrize("now", [(1, 3), (4, 4), (2, 100), (0, 0)])
    def test_small_numbers_prove_nothing(self, now):
        assert not found(kind(now, (0, 100_000)))

    @pytest.mark.parametrize("share", [0.01, 0.2, 0.9, 1.0])
    def test_what_failed_before_proves_nothing(self, share):
        assert not found(kind((1000 * share, 1000), (round(10_000 * share), 10_000)))

    def test_nor_if_little_is_known_of_before(self):
        assert not found(kind((5, 20), (0, 5)))
        assert found(kind((30, 30), (0, 20))), "but all of many is too much"

    def test_fewer_failures_than_before(self):
        assert not found(kind((100, 1000), (5000, 10_000)))

    def test_what_is_tolerated(self):
        now, before = (400, 10_000), (100, 10_000)
        assert found(kind(now, before))
        assert not found(kind(now, before), tolerated=0.05)
        assert not found(kind((10_000, 10_000), before), tolerated=1.0)

    def test_failures_of_a_moment_prove_nothing(self):
        assert not found(kind((200, 400), (0, 1000), looks=frozenset([1, 2])))
        assert found(kind((200, 400), (0, 1000), looks=frozenset([1, 2, 5])))

    def test_a_page_without_a_past_has_to_fail_mostly(self):
        assert not found(kind((40, 100)))
        assert not found(kind((6, 6)))
        assert found(kind((40, 40)))

    def test_a_bad_time_that_may_come_again(self):
        now, before = (60, 200), (60, 6000)
        assert found(kind(now, before))
        assert not found(kind(now, before, times=(answered(30, 100),)))
        assert found(kind(now, before, times=(answered(1, 1),))), "one failure is no bad time"

    def test_beside_the_old_generation_that_fails_as_well(self):
        assert not found(kind((100, 100), (0, 10_000), times=(answered(100, 100),)))

    def test_good_answers_known_from_a_sample(self):
        """A hundred answers of which half failed are seen as fifty failures and one other."""
        assert found(kind((50, 100, 50), (0, 10_000, 50)))
        assert not found(kind((5, 505, 100), (50, 5050, 100)))


class TestSeveral:
    def test_other_traffic_than_before_proves_nothing(self):
        """Now all ask for the page that always fails often."""
        kinds = kind((0, 10), (0, 100_000), "/"), kind((200, 1000), (200, 1000), "/slow")
        assert not found(*kinds)

    def test_the_worst_comes_first(self):
        bad, worst = kind((30, 100), (0, 1000), "/bad"), kind((90, 100), (0, 1000), "/worst")
        fine = kind((0, 100), (0, 1000), "/fine")
        assert found(fine, bad, worst) == ["/worst", "/bad"]

    def test_all_together_show_what_each_shows_too_little_of(self):
        kinds = [kind((1, 3), (0, 1000), f"/{number}", frozenset([number])) for number in range(20)]
        assert not found(kinds[0])
        assert len(found(*kinds)) == 20

    def test_those_that_prove_nothing_do_not_add_up(self):
        kinds = [kind((3, 30), (100, 1000), f"/{number}") for number in range(50)]
        assert not found(*kinds)


class TestReleases:
    """That good ones stay, and bad ones go back."""

    @pytest.mark.parametrize("rate", RATES)
    def test_good_ones_beside_an_application_that_always_fails_for_one_in_a_hundred(self, rate):
        assert gone_back(40, [rate] * 5, [0.01] * 5, [0.01] * 5) == 0

    @pytest.mark.drill
    def test_two_thousand_good_ones(self):
        shares = [0.0, 0.001, 0.01, 0.1, 0.5]
        assert sum(gone_back(500, [rate] * 5, shares, shares) for rate in RATES) <= 1

    def test_good_ones_whose_past_is_short(self):
        assert gone_back(50, [20] * 3, [0.01] * 3, [0.01] * 3, minutes=1) == 0

    def test_good_ones_known_from_samples(self):
        assert gone_back(15, [100] * 5, [0.01] * 5, [0.01] * 5, each=16) == 0

    @pytest.mark.parametrize(("bad_minutes", "back"), [({7}, 20), ({7, 30}, 0)])
    def test_ones_that_come_in_a_bad_minute_which_there_was_before(self, bad_minutes, back):
        def burst(second, share):
            return 0.3 if second > 0 or -second // 60 in bad_minutes else share

        assert gone_back(20, [20] * 2, [0.01] * 2, [0.01] * 2, burst=burst) == back

    @pytest.mark.parametrize(
        ("rate", "share", "least"),
        [(2, 1.0, 99), (10, 0.2, 85), (20, 0.2, 99), (200, 0.05, 90), (2000, 0.05, 100)],
    )
    def test_bad_ones(self, rate, share, least):
        assert gone_back(100, [rate, rate], [0.01, 0.01], [share, 0.01]) >= least

    def test_bad_ones_known_from_samples(self):
        assert gone_back(50, [100] * 5, [0.01] * 5, [0.2] + [0.01] * 4, each=16) == 50

    def test_one_without_a_busy_page_that_fails_everywhere(self):
        assert gone_back(5, [0.3] * 60, [0.0] * 60, [0.2] * 60) == 5

    def test_a_quiet_site_notices_nothing(self):
        assert gone_back(100, [0.3], [0.01], [0.33]) <= 1


class TestSuspicion:
    @pytest.mark.parametrize(
        ("now", "before", "told"),
        [
            ((1, 3), (0, 500), True),
            ((1, 3), (0, 3), False),
            ((0, 3), (0, 500), False),
            ((1, 10), (100, 10_000), False),
            ((3, 3), (0, 0), False),
            ((90_000, 100_000), (0, 100_000), True),
        ],
    )
    def test_what_may_be_chance_is_told_if_it_is_unlikely(self, now, before, told):
        assert may_be_worse(kind(now, before)) is told


def test_how_bad_a_time_was():
    usual = answered(10, 1000)
    assert badness(answered(1, 1), usual) == pytest.approx(0.1)
    assert badness(answered(60, 100), usual) == pytest.approx(0.546, abs=0.01)
    assert badness(NOTHING, usual) == pytest.approx(0.01)
