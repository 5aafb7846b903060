"""What is in hand at ordinary moments: looks in, shares out."""

import pytest

from superwsgi.board.counts import InFlight
from superwsgi.master.suspects import kinds
from superwsgi.master.suspects.looks import LONG, SHORT, BoardLook, Looks


def looks(*each, every=1.0):
    """Taken once a second from 0 on."""
    taken = Looks()
    for number, what in enumerate(each):
        taken.add([BoardLook(number * every, frozenset(what))])
    return taken


def many(*each):
    """Taken from 3.0 on, after thirty in three seconds with nothing in hand."""
    return looks(*[set()] * 30, *each, every=0.1)


def test_without_any_it_is_as_likely_as_not():
    assert Looks().shares(5.0).of("GET /") == 0.5


def test_the_rule_of_succession():
    shares = looks({"GET /"}, {"GET /"}, set()).shares(3.0)
    assert shares.of("GET /") == pytest.approx(3 / 5)
    assert shares.of("GET /never") == pytest.approx(1 / 5)


def test_only_what_was_before():
    assert many({"GET /"}).shares(3.0).of("GET /") == pytest.approx(1 / 32)


def test_also_what_came_after_where_little_came_before():
    shares = looks(set(), set(), {"GET /"}).shares(2.0)
    assert shares.of("GET /") == pytest.approx(2 / 5)


def test_a_request_does_not_count_itself():
    """It has begun at 3.0 and ended its worker at 3.5."""
    assert many(*[{"GET /"}] * 5, set()).share("GET /", 3.0, 3.5) == pytest.approx(1 / 32)


def test_a_program_that_goes_on_with_the_last_looks_judges_as_before():
    """It judges crashes of the last seconds again, with what it sees itself."""
    before, after = many(*[{"GET /"}] * 5), Looks()
    after.add(before.lately(3.5 + SHORT))
    assert after.shares(3.5) == before.shares(3.5)
    assert before.lately(3.5 + SHORT + LONG) == []


def test_a_burst_counts_as_such():
    shares = looks(*[set()] * 50, *[{"GET /"}] * 5).shares(55.0)
    assert shares.of("GET /") == pytest.approx(6 / 7)


def test_what_comes_now_and_then_is_known_by_the_last_minute():
    shares = looks(*[{"GET /slow"}, set(), set()] * 17, *[set()] * 6).shares(57.0)
    assert shares.of("GET /slow") == pytest.approx(18 / 59, abs=0.02)


def test_the_kinds_are_bounded():
    """All that there is no room for have the share of the most frequent of them."""
    shares = looks(
        *({f"GET /{word}"} for word in range(60)), *[set()] * 5, {"a", *map(str, range(500))}
    ).shares(66.0)
    assert len(shares.known) <= 128
    assert shares.of("GET /unheard") >= 1 / 7


# What is no request has no kind: applications can write anything on a scoreboard.


def request(method="GET", path="/", started=0.0):
    return InFlight(1, 1, started, method, path, "id")


@pytest.mark.parametrize("path", ["/thumb", "/thumb?size=9", "/%74humb", "/%74%68%75%6d%62?x", "/thum%62"])
def test_one_page_is_one_kind_however_it_is_spelled(path):
    assert kinds.kind("GET", path) == "GET /thumb"


@pytest.mark.parametrize(
    ("path", "group"), [("/order/1234", "/order/*"), ("/order/%31%32%33%34", "/order/*"), ("/a%2Fb", "/a/b")]
)
def test_groups(path, group):
    assert kinds.kind("POST", path) == f"POST {group}"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("", ""),
        ("get", "/"),
        ("GET", "thumb"),
        ("GET", "*"),
        ("G\n", "/"),
        ("GET", "/\x00\xff"),
        ("GET", "/a b"),
    ],
)
def test_no_request(method, path):
    assert kinds.kind(method, path) is None
    assert kinds.in_hand([request(method, path)]) == {}


def test_of_very_many_the_last_ones():
    many = [
        request(path=f"/{'abcdefghij'[each % 10]}{'klmnopqrst'[each // 10 % 10]}{each // 100}", started=each)
        for each in range(900)
    ]
    found = kinds.in_hand(many)
    assert 0 < len(found) <= kinds.MOST_IN_HAND
    assert kinds.kind("GET", many[-1].path) in found


def test_of_one_kind_the_first():
    assert kinds.in_hand([request(started=2.0), request(started=1.0)])["GET /"].started == 1.0
