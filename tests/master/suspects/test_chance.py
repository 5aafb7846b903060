"""Who is suspected of ending workers: what was in hand in crashes, and by which chance; suspects out."""

import random

import pytest

from superwsgi.incidents import RequestInHand
from superwsgi.master.suspects.chance import Crash, find, tail
from superwsgi.master.suspects.looks import BoardLook, Looks, Shares

POISON, POPULAR = "GET /thumb", "GET /"


def crash(*kinds, at=0.0, others=0.01, **shares):
    """One with these kinds in hand; what is not in `shares` (`popular=0.9`) has the share of the others."""
    names = {"popular": POPULAR, "poison": POISON}
    known = {names.get(name, name): share for name, share in shares.items()}
    return Crash(at, 1, {kind: RequestInHand("GET", kind) for kind in kinds}, Shares(known, others))


def names(*crashes):
    return [finding.kind for finding in find(crashes)]


@pytest.mark.parametrize(
    ("chances", "least", "expected"),
    [([], 0, 1.0), ([0.5], 1, 0.5), ([0.5, 0.5, 0.5], 3, 0.125), ([0.1, 0.2], 1, 0.28), ([0.1, 0.2], 3, 0.0)],
)
def test_tail(chances, least, expected):
    assert tail(chances, least) == pytest.approx(expected)


def test_the_only_one_in_hand():
    assert names(*[crash(POISON)] * 3) == [POISON]
    assert names(*[crash(POISON)] * 2) == [], "two prove nothing"


def test_what_it_was_named_for():
    [found] = find([crash(POISON, popular=0.5)] * 3 + [crash(POPULAR, popular=0.5)])
    assert (found.kind, len(found.crashes), found.of) == (POISON, 3, 4)
    assert found.share == pytest.approx(0.01)
    assert [request.target for request in found.requests] == [POISON] * 3


def test_a_popular_page_is_in_hand_in_every_crash():
    crashes = [crash(POISON, POPULAR, popular=0.9)] * 3
    assert names(*crashes) == [POISON]
    assert names(*[crash(POPULAR, popular=0.9)] * 60) == []


@pytest.mark.parametrize("times", [3, 10, 60])
def test_what_is_in_hand_at_a_fifth_of_all_moments_is_never_named(times):
    assert names(*[crash(POPULAR, popular=0.21)] * times) == []


def test_seven_innocents_beside_it():
    crashes = [crash(POISON, *(f"GET /{number}/{each}" for each in range(7))) for number in range(3)]
    assert names(*crashes) == [POISON]


def test_some_of_many_crashes():
    crashes = [crash(POISON)] * 3 + [crash(f"GET /{number}") for number in range(7)]
    assert names(*crashes) == [POISON]


def test_two_culprits():
    assert names(*[crash(POISON)] * 4, *[crash("GET /other")] * 3) == [POISON, "GET /other"]


def test_what_is_always_asked_for_together_cannot_be_told_apart():
    assert names(*[crash(POISON, "GET /frame")] * 5) == []
    told = [crash(POISON, "GET /frame", others=0.001, **{"GET /frame": 0.01})] * 3
    assert names(*told) == [POISON], "one of the two is in hand elsewhere, too"


def test_a_page_that_is_slow_while_the_culprit_computes():
    slowed = [crash(POISON, POPULAR, others=0.001, popular=0.02)] * 4
    assert names(*slowed) == [POISON]


def test_who_has_hardly_looked_accuses_nobody():
    nothing = Looks().shares(10.0)
    assert find([Crash(10.0, 1, {POISON: RequestInHand("GET", "/thumb")}, nothing)] * 3) == []


def test_crashes_with_nothing_in_hand_name_nobody():
    assert names(*[crash()] * 10) == []


PAGES = {"GET /": 0.9, "GET /list": 0.5, "GET /events": 0.99, "GET /item/*": 0.15, "GET /about": 0.02}


class Site:
    """A simulated one: two workers, asked for pages by their shares."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.looks = Looks()

    def worker(self):
        return {page for page, share in PAGES.items() if self.random.random() < share}

    def run(self, crashes, culprit):
        """It crashes every ten seconds, which is looked at once a second."""
        found = []
        for second in range(10 * (crashes + 1)):
            for _ in range(2):
                self.looks.add([BoardLook(second, frozenset(self.worker()))])
            if second and second % 10 == 0:
                kinds = self.worker() | ({culprit} if culprit else set())
                shares = self.looks.shares(second)
                found.append(Crash(second, 1, {kind: RequestInHand("GET", kind) for kind in kinds}, shares))
        return [finding.kind for finding in find(found)]


def test_simulated_sites():
    """One of the innocent may be named in a few hundred sites that crash by themselves, not more."""
    assert all(Site(seed).run(4, POISON) == [POISON] for seed in range(100))
    assert sum(bool(Site(seed).run(8, None)) for seed in range(300)) <= 3
