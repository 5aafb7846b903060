"""Which answers have a line, where some are left out."""

import threading
from collections import Counter
from posixpath import normpath
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superwsgi.log.sampling import Sampling

SLOW = 5_000_000_000
SHARES = {"/": 0.1, "/api": 0.5, "/api/v1": 1.0, "/static": 0.0, "/größe": 0.0, "/.well-known": 0.0}


def lines(
    sampling: Sampling, target: str, count: int = 1, status: int = 200, took: int = 1
) -> Counter[float]:
    """How often each share came of `count` answers."""
    return Counter(sampling.share(target.encode("latin-1"), status, took) for _ in range(count))


@pytest.mark.parametrize(
    ("share", "of", "have"),
    [(0.1, 10, 1), (0.01, 100, 1), (0.15, 20, 3), (1 / 3, 3, 1), (0.5, 2, 1), (1.0, 1, 1), (0.0, 7, 0)],
)
def test_of_so_many_in_a_row_exactly_so_many_have_a_line(share: float, of: int, have: int) -> None:
    sampling = Sampling({"/": share}, SLOW)
    for _ in range(50):
        found = lines(sampling, "/x", of)
        assert of - found[0.0] == have
        assert set(found) <= {share, 0.0}


@given(st.floats(1e-6, 1), st.integers(1, 3000))
def test_no_stretch_has_more_lines_than_its_blocks(share: float, count: int) -> None:
    found = lines(Sampling({"/": share}, SLOW), "/", count)
    assert found[share] <= count
    assert set(found) <= {0.0, share}


def test_clients_that_ask_for_pages_in_turn_have_lines_of_each() -> None:
    sampling = Sampling({"/": 0.1}, SLOW)
    drawn = Counter(
        page for number in range(10_000) if sampling.share(b"/%d" % (page := number % 10), 200, 1)
    )
    assert sum(drawn.values()) == 1000
    assert min(drawn[page] for page in range(10)) > 50  # of 100, within five standard deviations


@pytest.mark.parametrize(
    ("target", "share"),
    [
        ("/", 0.1),
        ("/?a=//../\\%25", 0.1),
        ("/apis", 0.1),
        ("/other/api", 0.1),
        ("/staticfiles/x", 0.1),
        ("/Static/x", 0.1),
        ("/api", 0.5),
        ("/api/", 0.5),
        ("/api?x", 0.5),
        ("/api/v2/static", 0.5),
        ("/api/v1", 1.0),
        ("/api/v1/users/7", 1.0),
        ("/static", 0.0),
        ("/static/", 0.0),
        ("/static?v=1", 0.0),
        ("/static/css/a%20b.css", 0.0),
        ("/st%61tic%2fa.css", 0.0),
        ("/gr%C3%B6%C3%9Fe/1", 0.0),
        ("/.well-known/acme-challenge/x", 0.0),
    ],
)
def test_the_longest_path_wins_at_the_borders_of_segments(target: str, share: float) -> None:
    assert set(lines(Sampling(SHARES, SLOW), target, 200)) - {0.0} == {share} - {0.0}


@pytest.mark.parametrize(
    "target",
    [
        "/static/../admin",
        "/static/..",
        "/static/./x",
        "/static/%2e%2e/admin",
        "/static/%2E./admin",
        "/static%2f..%2fadmin",
        "/static/..;/admin",
        "/static/.git/config",
        "/static/..%5cadmin",
        "/static\\..\\admin",
        "/static/x\\..\\admin",
        "/static/%252e%252e/admin",
        "/static/%zz",
        "/static/%3f/../admin",
        "/static/a%00.css",
        "/static/a%0a127.0.0.1",
        "/static//x",
        "//static/x",
        "/%2fstatic",
        "http://example.com/static/x",
        "*",
    ],
)
def test_a_path_that_may_mean_another_page_always_has_a_line(target: str) -> None:
    assert lines(Sampling({"/": 0.0, "/static": 0.0}, SLOW), target, 20) == {1.0: 20}


PIECES = [
    "/",
    "static",
    "..",
    ".",
    "%2e",
    "%2F",
    "%5c",
    "\\",
    "a",
    ";",
    "%25",
    "%3f",
    "%252e",
    "%252f",
    "?",
    "%00",
]


@given(st.lists(st.sampled_from(PIECES), max_size=8).map(lambda pieces: "/static" + "".join(pieces)))
def test_whoever_reads_the_path_of_what_is_left_out_reads_that_path(target: str) -> None:
    if Sampling({"/static": 0.0}, SLOW).share(target.encode(), 200, 1) == 0:
        path = unquote(unquote(target.partition("?")[0])).replace("\\", "/")
        assert f"{normpath(path)}/".startswith("/static/")


@pytest.mark.parametrize(("status", "took"), [(400, 1), (404, 1), (499, 1), (500, 1), (504, 1), (200, SLOW)])
def test_what_went_wrong_or_was_slow_always_has_a_line(status: int, took: int) -> None:
    sampling = Sampling({"/": 0.0}, SLOW)
    assert lines(sampling, "/", 20, status, took) == {1.0: 20}
    assert lines(sampling, "/", 20, 399, SLOW - 1) == {0.0: 20}


def test_what_has_a_line_in_any_case_takes_none_from_others() -> None:
    sampling = Sampling({"/": 0.1}, SLOW)
    for _ in range(100):
        lines(sampling, "/", 3, status=500)
        assert lines(sampling, "/", 10)[0.1] == 1


def test_below_no_path_all_have_a_line() -> None:
    assert lines(Sampling({"/static": 0.0}, SLOW), "/shop", 20) == {1.0: 20}


@pytest.mark.parametrize("shares", [{}, {"/static": 0.0}])
def test_a_rule_says_otherwise(shares: dict[str, float]) -> None:
    sampling, late = Sampling(shares, SLOW), 2 * SLOW
    target = b"/static/x"
    assert sampling.share_by_rule(target, 200, 1, late, False) == 0
    assert sampling.share_by_rule(target, 200, SLOW, late, False) == 0
    assert sampling.share_by_rule(target, 200, late, late, False) == 1
    assert sampling.share_by_rule(target, 404, 1, late, False) == 1
    assert sampling.share_by_rule(target, 200, 1, late, True) == 1
    assert sampling.share_by_rule(target, 200, 1, late, None) == sampling.share(target, 200, 1)
    assert sampling.share_by_rule(b"/", 200, 1, late, None) == 1


@pytest.mark.usefixtures("eager_switching")
def test_threads_do_not_disturb_the_count() -> None:
    sampling, found = Sampling({"/": 0.1}, SLOW), Counter[float]()
    threads = [threading.Thread(target=lambda: found.update(lines(sampling, "/", 2000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0.1: 800, 0.0: 7200}
