"""Who is blamed for growth, and who never is: a worker of eight threads with twenty pages, simulated."""

import random
from dataclasses import replace

import pytest

from superwsgi.worker.memory.blame import MOST, Reading, goes_on, leaks, thinned
from tests.worker.memory.simulation import KIB, MIB, Page, looks

LEAKS = "GET /h"


def leaking(size):
    return Page(lambda: size)


def filling(places, size=MIB, seed=1):
    """A cache with so many places, for keys at random."""
    chance, cached = random.Random(seed), set()

    def grows():
        key = chance.randrange(places)
        new = key not in cached
        cached.add(key)
        return size if new else 0

    return Page(grows)


def at_first(places, size=MIB):
    """A cache of which each request fills a place, until it is full."""
    left = [places]

    def grows():
        left[0] -= 1
        return size if left[0] >= 0 else 0

    return Page(grows)


def collected(size, every=60):
    """Garbage in cycles, which the collector frees in lumps."""
    made = [0]

    def grows():
        made[0] += 1
        return -(every - 1) * size if made[0] % every == 0 else size

    return Page(grows)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("size", "off"), [(MIB, 0.3), (100 * KIB, 0.5)])
def test_a_leak_is_named_after_200_requests(size, off, seed):
    first, *_ = leaks(looks({LEAKS: leaking(size)}, 200, seed))
    assert first.kind == LEAKS
    assert first.each == pytest.approx(size, rel=off)


@pytest.mark.parametrize("seed", range(3))
def test_beside_large_buffers_caches_and_slow_pages_it_still_is(seed):
    pages = {
        LEAKS: leaking(MIB),
        "GET /b": Page(holds=20 * MIB, takes=5.0),
        "GET /c": filling(50),
        "GET /d": at_first(1, 50 * MIB),
        "GET /e": Page(takes=20.0),
    }
    (first,) = leaks(looks(pages, 250, seed))
    assert first.kind == LEAKS
    assert first.each == pytest.approx(MIB, rel=0.3)


@pytest.mark.parametrize("requests", [140, 300])
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "page",
    [
        lambda: filling(60),
        lambda: at_first(60),
        lambda: at_first(1, 50 * MIB),
        lambda: at_first(20, 2 * MIB),
        lambda: Page(holds=50 * MIB, takes=5.0),
        lambda: Page(holds=2 * MIB),
        lambda: collected(MIB),
    ],
    ids=["cache", "queue", "one response", "warm-up", "buffers", "small buffers", "garbage"],
)
def test_the_innocent_are_never_named(page, seed, requests):
    assert leaks(looks({LEAKS: page()}, requests, seed)) == []


def test_a_leak_that_no_request_causes_names_nobody():
    seen = looks({}, 300)
    grown = [
        Reading(look.at, look.resident + 2 * look.at, look.used + 2 * look.at, *rest(look)) for look in seen
    ]
    assert leaks(grown) == []


def test_a_leak_is_named_although_nobody_knows_what_is_in_hand():
    """That of a worker with many threads is not looked at."""
    seen = looks({LEAKS: leaking(MIB)}, 300)
    first, *_ = leaks([replace(look, in_hand={}) for look in seen])
    assert first.kind == LEAKS


def rest(look):
    return look.ended, look.in_hand, look.joined


def test_two_kinds_that_always_run_together_cannot_be_told_apart():
    seen = looks({LEAKS: leaking(MIB)}, 300)
    both = [
        Reading(look.at, look.resident, look.used, doubled(look.ended), doubled(look.in_hand), look.joined)
        for look in seen
    ]
    assert leaks(both) == []


def doubled(kinds):
    return {**kinds, "GET /as-often": kinds.get(LEAKS, 0)}


def test_what_is_only_resident_needs_more_evidence_but_is_found():
    """As with a C library that does not say what it has handed out."""
    seen = looks({LEAKS: leaking(MIB)}, 250, resident=lambda used: used)
    blind = [Reading(look.at, look.resident, 0, *rest(look)) for look in seen]
    (first,) = leaks(blind)
    assert first.kind == LEAKS


def test_what_ran_uncounted_is_not_compared():
    seen = looks({LEAKS: leaking(MIB)}, 200)
    half = len(seen) // 2
    torn = [*seen[:half], *(Reading(*jumped(look, at == half)) for at, look in enumerate(seen[half:], half))]
    first, *_ = leaks(torn)
    assert first.kind == LEAKS
    assert first.each == pytest.approx(MIB, rel=0.3)


def jumped(look, first):
    return look.at, look.resident + 500 * MIB, look.used + 500 * MIB, look.ended, look.in_hand, not first


def test_older_looks_are_thinned_and_lose_no_request():
    seen = looks({LEAKS: leaking(MIB)}, 500)[:MOST]
    thin = thinned(seen)
    assert len(thin) == MOST - MOST // 4
    assert sum(sum(look.ended.values()) for look in thin) == sum(sum(look.ended.values()) for look in seen)
    assert (thin[0].at <= seen[1].at, thin[-1]) == (True, seen[-1])
    (first,) = leaks(thin)
    assert first.kind == LEAKS


def test_a_leak_has_to_go_on_growing():
    seen, stops = looks({LEAKS: leaking(MIB)}, 200), looks({}, 100, seed=9)
    (leak,) = leaks(seen)
    assert goes_on(seen[-40:], leak) is None or goes_on(seen[-40:], leak)
    assert goes_on(seen[-100:], leak) is True
    assert goes_on(stops, leak) is False
    assert goes_on(stops[:10], leak) is None
