"""Which paths are of one group."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superwsgi.board.layout import PATH_BYTES
from superwsgi.http.request import path_groups
from superwsgi.http.request.path_groups import DEPTH, asked_kind, group_of, path_group

WORDS = [
    "",
    "users",
    "index.html",
    "sign-up",
    "my_profile",
    ".well-known",
    "__debug__",
    "getUserProfilePicture",
    "XMLHttpRequest",
    "README",
    "API-Docs",
    "items:batchGet",
    "$metadata",
    "~ann",
    "..",
    "v1",
    "V2",
    "v12",
    "v2.1",
    "v1.2.3",
    "v1beta1",
    "oauth2",
    "OAuth2",
    "oauth2-callback",
    "2fa",
    "2fa-setup",
    "reset-2fa",
    "caf%C3%A9",
    "%C3%A9t%c3%a9",
    "%D0%BA%D0%B0%D1%82%D0%B0%D0%BB%D0%BE%D0%B3",
    "\u043a\u0430\u0442\u0430\u043b\u043e\u0433",
    "caf\xc3\xa9",
    "New%20York",
    "%",
]

ONE_OF_MANY = [
    "0",
    "1234",
    "-5",
    "3.14",
    "550e8400-e29b-41d4-a716-446655440000",
    "{550E8400-E29B-41D4-A716-446655440000}",
    "d41d8cd98f00b204e9800998ecf8427e",
    "3f2a91c0",
    "3f",
    "2024",
    "2024-05-01",
    "20240501T120000Z",
    "order-1234",
    "order-7",
    "order_1234_de",
    "1234-a-fine-title",
    "how-to-bake-your-own-bread",
    "x" * 41,
    "dGhpc0lzQVRlc3RXaXRoTm9EaWdpdHM",
    "dGhpcyBpcyBhIHRlc3Q=",
    "aBcDeFgHiJkLm",
    "dQwXgWqZcQe",
    "MFRGGZDFMZTWQYLK",
    "app.3f2a91c0.js",
    "jquery-3.6.0.min.js",
    "report.2024.pdf",
    "ann@example.org",
    "@ann",
    "v2024",
    "v123",
    "page12",
    "a1b2",
    "404",
    "1%20000%20000",
    "%C3%A9-12",
    "Products(5)",
]


@pytest.mark.parametrize("segment", WORDS)
def test_words_are_kept(segment):
    assert path_group(f"/a/{segment}/b") == f"/a/{segment}/b"


@pytest.mark.parametrize("segment", ONE_OF_MANY)
def test_names_of_one_of_many_are_not(segment):
    assert path_group(f"/a/{segment}/b") == "/a/*/b"
    assert path_group(f"/{segment}") == "/*"


@pytest.mark.parametrize(
    ("path", "group"),
    [
        ("", ""),
        ("/", "/"),
        ("*", "*"),
        ("//", "//"),
        ("/a//7/", "/a//*/"),
        ("/orders/1234/items/7", "/orders/*/items/*"),
        ("/a" * DEPTH, "/a" * DEPTH),
        ("/a" * (DEPTH + 1), "/a" * DEPTH + "/*"),
        ("/a" * DEPTH + "/", "/a" * DEPTH + "/*"),
        ("/a" * 50, "/a" * DEPTH + "/*"),
        ("/a/" + "word-" * 40, "/a/*"),
        ("x" * 200, "/*"),
        ("http://shop.example/orders/7", "http://shop.example/orders/*"),
    ],
)
def test_whole_paths(path, group):
    assert path_group(path) == group


@pytest.mark.parametrize(
    ("target", "group"),
    [
        (b"/orders/7?next=http://other/8", "/orders/*"),
        ("/orders/7?next=http://other/8", "/orders/*"),
        (b"http://shop.example/orders/7?x=1", "/orders/*"),
        (b"http://shop.example", "/"),
        (b"/http://shop.example/7", "/http://shop.example/*"),
        (b"*", "*"),
    ],
)
def test_targets(target, group):
    assert group_of(target) == group


PATHS = st.text("ab/%1-.", max_size=PATH_BYTES * 2)


@given(PATHS)
@settings(deadline=None)
def test_a_path_has_the_group_of_what_the_scoreboard_keeps_of_it(path):
    assert path_group(path) == path_group(path[:PATH_BYTES])


@given(st.text(max_size=300))
@settings(deadline=None)
def test_a_group_is_short_and_its_own_group(path):
    group = path_group(path)
    assert len(group) <= PATH_BYTES + 2
    assert path_group(group) == group


@pytest.mark.parametrize("piece", ["/", "a", "/a", "1", "aA", "%41", "a-", "A", "%"])
def test_long_ones_cost_no_more(piece):
    """An expression that goes back and forth would take hours."""
    for size in (30, 100, 111, 100_000):
        assert len(path_group((piece * size)[:size])) <= PATH_BYTES + 2


def test_kinds_are_told_apart_however_many_there_have_been():
    targets = [f"/page-{n}/{n}?q={n}".encode() for n in range(3000)]
    for _ in range(2):
        for target in targets:
            expected = f"GET {group_of(target)}"
            assert asked_kind("GET", target) == expected
            assert asked_kind("POST", target) == f"POST {group_of(target)}"
    assert asked_kind("GET", b"/" + b"x" * 9000) == "GET " + group_of(b"/" + b"x" * 9000)
    assert asked_kind("GET", b"http://host/a/12?x") == "GET /a/*"
    assert len(path_groups._asked) <= 1024
