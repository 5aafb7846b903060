"""What follows from crashes, step by step: suspects, quarantines and their end."""

import pytest

from superwsgi.incidents import RequestInHand
from superwsgi.master.suspects.chance import Crash
from superwsgi.master.suspects.crashes import LONGEST, MOST, WHILE, KnownCrashes
from superwsgi.master.suspects.looks import Shares

POISON = "GET /thumb"


class Site:
    """`now` goes on as it is told to; generation 1 serves."""

    def __init__(self, cooling=300.0, exempt=lambda kind: False):
        self.known, self.cooling, self.now = KnownCrashes(exempt), cooling, 1000.0

    def crash(self, *kinds, after=1.0, generation=1, **shares):
        """Returns what follows."""
        self.now += after
        requests = {kind: RequestInHand("GET", kind) for kind in kinds or (POISON,)}
        self.known.note(Crash(self.now, generation, requests, Shares(shares, 0.01)))
        return self.decide()

    def decide(self, after=0.0):
        self.now += after
        return [(change.what, change.suspect.kind) for change in self.known.decide(1, self.cooling, self.now)]

    def name(self, *kinds):
        """Three crashes, of which nothing follows before the last one."""
        assert self.crash(*kinds) == []
        assert self.crash(*kinds) == []
        return self.crash(*kinds)


def test_named_once_while_it_holds():
    site = Site(cooling=0.0)
    assert site.name() == [("named", POISON)]
    assert site.crash() == []
    assert site.known.quarantine() == {}
    assert site.decide(after=WHILE - 1) == []
    assert site.decide(after=1) == [("forgotten", POISON)]
    assert site.name() == [("named", POISON)], "and anew"


def test_three_within_ten_minutes():
    site = Site()
    assert site.crash() == site.crash(after=WHILE / 2) == []
    assert site.crash(after=WHILE / 2) == [], "the first one is too long ago"


def test_a_quarantine_ends_by_itself():
    site = Site()
    assert site.name() == [("named", POISON), ("quarantined", POISON)]
    assert site.known.quarantine() == {POISON: site.now + 300}
    assert site.decide(after=299) == []
    assert site.decide(after=1) == [("over", POISON)]
    assert site.known.quarantine() == {}
    assert site.decide() == []


def test_again_for_longer():
    site = Site()
    site.name()
    for seconds in (600, 1200, 2400, LONGEST, LONGEST):
        site.decide(after=LONGEST)
        assert site.crash() == [("quarantined", POISON)], "one crash is enough now"
        assert site.known.quarantine() == {POISON: site.now + seconds}


def test_a_long_one_does_not_become_shorter():
    site = Site(cooling=2 * LONGEST)
    site.name()
    assert site.decide(after=2 * LONGEST) == [("over", POISON)]
    assert site.crash() == [("quarantined", POISON)]
    assert site.known.quarantine() == {POISON: site.now + 2 * LONGEST}


def test_known_for_an_hour_after_its_end():
    site = Site()
    site.name()
    assert site.decide(after=300) == [("over", POISON)]
    assert site.decide(after=LONGEST - 1) == []
    assert site.decide(after=1) == [("forgotten", POISON)]
    assert site.crash() == []


def test_in_hand_by_chance_after_it_was_let_in():
    site = Site()
    site.name()
    site.decide(after=LONGEST / 2)
    assert site.crash(**{POISON: 0.5}) == [], "it is popular by now"


def test_switched_on_later():
    site = Site(cooling=0.0)
    site.name()
    site.cooling = 60.0
    assert site.decide() == [("quarantined", POISON)]


def test_what_is_exempt_is_only_named():
    assert Site(exempt=lambda kind: kind == POISON).name() == [("named", POISON)]


def test_at_most_so_many():
    site = Site()
    for number in range(MOST + 2):
        site.name(f"GET /{number}")
    assert len(site.known.quarantine()) == MOST
    assert len(site.known.suspects) == MOST + 2


def test_suspects_are_bounded():
    site = Site(cooling=0.0)
    for number in range(40):
        site.name(f"GET /{number}")
    assert len(site.known.suspects) <= 4 * MOST
    assert len(site.known.crashes) <= 64


def test_a_rare_page_that_was_in_hand_beside_a_popular_one_which_crashes():
    """Somebody can make the popular one crash, and has the rare one in hand each time: it is let in again as
    soon as crashes go on without it."""
    site = Site()
    popular = {"GET /report": 0.9}
    for _ in range(3):
        changes = site.crash("GET /login", "GET /report", **popular)
    assert changes == [("named", "GET /login"), ("quarantined", "GET /login")]
    assert site.crash("GET /report", after=10, **popular) == []
    assert site.crash("GET /report", **popular) == []
    assert site.crash("GET /report", **popular) == [("over", "GET /login")]
    assert site.crash("GET /login", "GET /report", **popular) == [], "nor is it believed again"
    assert site.known.quarantine() == {}


def test_another_culprit_clears_nobody():
    site = Site()
    site.name(POISON, "GET /a")
    site = Site()
    site.name(POISON)
    for _ in range(2):
        site.crash("GET /other", after=10)
    assert site.crash("GET /other", after=10) == [("named", "GET /other"), ("quarantined", "GET /other")]
    assert site.known.quarantine().keys() == {POISON, "GET /other"}


def test_crashes_of_another_generation_are_its_own_business():
    site = Site()
    for _ in range(5):
        assert site.crash(generation=2) == []


@pytest.mark.parametrize("cooling", [0.0, 300.0])
def test_another_release_may_have_mended_it(cooling):
    site = Site(cooling)
    site.name()
    lifted = [change.what for change in site.known.lift("another generation serves")]
    assert lifted == (["over", "forgotten"] if cooling else ["forgotten"])
    assert site.known.quarantine() == {}


def test_the_same_release_goes_on_with_what_is_known():
    site = Site()
    site.crash()
    site.crash()
    site.known.carry(1)
    assert site.crash() == [("named", POISON), ("quarantined", POISON)]
