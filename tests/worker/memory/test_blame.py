"""Who is blamed for growth, and who never is: a worker of eight threads with twenty pages, simulated."""

import itertools
import random
from dataclasses import replace

import pytest

from superwsgi.worker.memory.blame import MOST, Reading, goes_on, growing, thinned
from tests.worker.memory.simulation import KIB, MIB, Page, judged, looks

LEAKS = "GET /h"


def leaking(size):
    return Page(lambda: size)


def keyed(keys, size, popular=0.0, seed=1):
    """A cache without a limit, for so many keys: the first one is asked for most, by Zipf's law with this
    exponent."""
    chance, cached = random.Random(seed), set()
    shares = list(itertools.accumulate(1 / (key + 1) ** popular for key in range(keys)))

    def grows():
        (key,) = chance.choices(range(keys), cum_weights=shares)
        new = key not in cached
        cached.add(key)
        return size if new else 0

    return Page(grows)


def at_first(places, size=MIB):
    """A cache of which each request fills a place, until it is full; or a warm-up."""
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


def leaks(found):
    return [one for one in found if one.is_no_fill]


def first_named(pages, requests, seed):
    each = 16 if requests <= 300 else 64
    return next(filter(None, map(leaks, judged(pages, requests, seed, each))))[0]


@pytest.mark.parametrize("seed", range(3))
def test_a_leak_is_named_first_within_300_requests(seed):
    first = first_named({LEAKS: leaking(MIB)}, 290, seed)
    assert first.kind == LEAKS
    assert first.each == pytest.approx(MIB, rel=0.3)


def test_a_small_one_later():
    first = first_named({LEAKS: leaking(100 * KIB)}, 2500, 1)
    assert first.kind == LEAKS
    assert first.each == pytest.approx(100 * KIB, rel=0.3), "not less because of what is long ago"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("size", "off"), [(MIB, 0.3), (100 * KIB, 0.5)])
def test_what_grows_the_worker_is_known_after_200_requests(size, off, seed):
    first, *_ = growing(looks({LEAKS: leaking(size)}, 200, seed))
    assert first.kind == LEAKS
    assert first.each == pytest.approx(size, rel=off)


@pytest.mark.parametrize("seed", range(3))
def test_beside_large_buffers_caches_and_slow_pages_it_still_is(seed):
    pages = {
        LEAKS: leaking(MIB),
        "GET /b": Page(holds=20 * MIB, takes=5.0),
        "GET /c": keyed(50, MIB),
        "GET /d": at_first(1, 50 * MIB),
        "GET /e": Page(takes=20.0),
    }
    (first,) = growing(looks(pages, 250, seed))
    assert first.kind == LEAKS
    assert first.each == pytest.approx(MIB, rel=0.3)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("page", "requests"),
    [
        (lambda: at_first(60), 200),
        (lambda: at_first(128), 300),
        (lambda: at_first(512, 300 * KIB), 700),
        (lambda: at_first(1, 50 * MIB), 200),
        (lambda: at_first(20, 2 * MIB), 200),
        (lambda: keyed(60, MIB), 300),
        (lambda: keyed(300, MIB), 700),
        (lambda: keyed(1000, 250 * KIB), 1500),
        (lambda: keyed(1000, 300 * KIB, popular=1.0), 1000),
        (lambda: Page(holds=50 * MIB, takes=5.0), 300),
        (lambda: Page(holds=2 * MIB), 300),
        (lambda: collected(MIB), 300),
    ],
    ids=[
        "queue", "128 places", "512 places", "one response", "warm-up", "60 keys", "300 keys", "1000 keys",
        "popular keys", "buffers", "small buffers", "garbage",
    ],
)  # fmt: skip
def test_the_innocent_are_never_said_to_leak(page, requests, seed):
    found = list(judged({LEAKS: page()}, requests, seed, each=16 if requests <= 300 else 64))
    assert [leaks(each) for each in found if leaks(each)] == []


@pytest.mark.parametrize("page", [lambda: at_first(100, 500 * KIB), lambda: keyed(200, MIB)])
def test_nobody_grows_it_who_has_stopped_or_become_slower(page):
    found = list(judged({LEAKS: page()}, 350))
    assert any(one.kind == LEAKS for each in found for one in each)
    assert found[-1] == []


def test_a_thousand_places_of_100_kb_are_none():
    found = list(judged({LEAKS: at_first(1000, 100 * KIB)}, 1250, each=64))
    assert [leaks(each) for each in found if leaks(each)] == []
    assert any(one.kind == LEAKS for each in found for one in each), "but they do grow it"
    assert found[-1] == []


def test_a_leak_that_no_request_causes_names_nobody():
    seen = looks({}, 300)
    grown = [
        Reading(look.at, look.resident + 2 * look.at, look.used + 2 * look.at, *rest(look)) for look in seen
    ]
    assert growing(grown) == []


def test_a_leak_is_named_although_nobody_knows_what_is_in_hand():
    """That of a worker with many threads is not looked at."""
    seen = looks({LEAKS: leaking(MIB)}, 300)
    first, *_ = growing([replace(look, in_hand={}) for look in seen])
    assert first.kind == LEAKS


def rest(look):
    return look.ended, look.in_hand, look.joined


def test_two_kinds_that_always_run_together_cannot_be_told_apart():
    seen = looks({LEAKS: leaking(MIB)}, 300)
    both = [
        Reading(look.at, look.resident, look.used, doubled(look.ended), doubled(look.in_hand), look.joined)
        for look in seen
    ]
    assert growing(both) == []


def doubled(kinds):
    return {**kinds, "GET /as-often": kinds.get(LEAKS, 0)}


def test_what_is_only_resident_needs_more_evidence_but_is_found():
    """As with a C library that does not say what it has handed out."""
    seen = looks({LEAKS: leaking(MIB)}, 250, resident=lambda used: used)
    blind = [Reading(look.at, look.resident, 0, *rest(look)) for look in seen]
    (first,) = growing(blind)
    assert first.kind == LEAKS


def test_what_ran_uncounted_is_not_compared():
    seen = looks({LEAKS: leaking(MIB)}, 200)
    half = len(seen) // 2
    torn = [*seen[:half], *(Reading(*jumped(look, at == half)) for at, look in enumerate(seen[half:], half))]
    first, *_ = growing(torn)
    assert first.kind == LEAKS
    assert first.each == pytest.approx(MIB, rel=0.3)


def jumped(look, first):
    return look.at, look.resident + 500 * MIB, look.used + 500 * MIB, look.ended, look.in_hand, not first


def test_older_looks_are_thinned_and_lose_no_request():
    seen = looks({LEAKS: leaking(MIB)}, 500)[:MOST]
    thin = thinned(seen)
    assert MOST // 2 < len(thin) <= MOST * 3 // 4
    assert sum(sum(look.ended.values()) for look in thin) == sum(sum(look.ended.values()) for look in seen)
    assert (thin[0], thin[-1]) == (seen[0], seen[-1])
    (first,) = growing(thin)
    assert first.kind == LEAKS


def test_growth_of_long_ago_counts_however_often_looks_are_thinned():
    seen = looks({LEAKS: leaking(100 * KIB)}, 400)[:MOST]
    (whole,), (later,) = growing(seen), growing(thinned(thinned(thinned(seen))))
    assert later.requests == pytest.approx(whole.requests, abs=2)
    assert later.each == pytest.approx(whole.each, rel=0.1)


def test_looks_that_cannot_be_compared_are_not_kept_for_ever():
    seen = [replace(look, joined=False) for look in looks({}, 300)[:MOST]]
    assert len(thinned(seen)) < MOST


def test_a_leak_has_to_go_on_growing():
    seen, stops = looks({LEAKS: leaking(MIB)}, 200), looks({}, 100, seed=9)
    (leak,) = growing(seen)
    assert goes_on(seen[-10:], leak) is None
    assert goes_on(seen[-100:], leak) is True
    assert goes_on(stops, leak) is False
    assert goes_on(stops[:10], leak) is None
