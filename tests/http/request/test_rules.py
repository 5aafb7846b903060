"""Rules by path: which one a request gets, by what the application sees; no spelling escapes one."""

from __future__ import annotations

import sys
from posixpath import normpath
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superwsgi.config.parts.paths import PathRule
from superwsgi.config.schema import Site
from superwsgi.config.sections import Limits
from superwsgi.http.request import rules as tested
from superwsgi.http.request.parser import Parser, RequestIds
from superwsgi.http.request.rules import readings
from superwsgi.worker.connection.alarm import NEVER, SECOND
from superwsgi.worker.queue.rules import rules_of

PATHS = {
    "/reports": PathRule(request=300.0, slow=0.0, threads=2),
    "/reports/quick": PathRule(request=1.0),
    "/upload": PathRule(body=2 << 30),
    "/small": PathRule(body=10, log=False),
    "/any": PathRule(body=0),
    "/größe": PathRule(request=7.0),
    "api.example.com/v1": PathRule(request=3.0),
    "api.example.com/upload": PathRule(body=100),
}
SITE = Site(apps={"/": "a:b"}, name="site", paths=PATHS)
MIB = 1 << 20


def parsed(
    target: str, host: str = "shop", fields: str = "", method: str = "GET", rest: bytes = b""
) -> Parser:
    parser = Parser(Limits(), {"REMOTE_ADDR": "", "SERVER_NAME": "srv"}, RequestIds(), rules=rules_of(SITE))
    parser.feed(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode() + rest)
    return parser


def rule(target: str, host: str = "shop", method: str = "GET"):
    parser = parsed(target, host, method=method)
    assert parser.error is None
    return parser.requests[0].rule


def request(target: str, host: str = "shop", method: str = "GET") -> float:
    """Seconds that the application may be silent."""
    found = rule(target, host, method)
    return 60.0 if found is None else found.request / SECOND


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
@pytest.mark.parametrize(
    ("target", "seconds"),
    [
        ("/", 60),
        ("/report", 60),
        ("/reportsx", 60),
        ("/reports", 300),
        ("/reports/", 300),
        ("/reports?a=/../x", 300),
        ("/reports/7", 300),
        ("/%72eports/7", 300),
        ("/reports/quick", 1),
        ("/reports/quick/x", 1),
        ("/reports/quicker", 300),
        ("/x?/reports", 60),
        ("http://other/reports/quick", 1),
        ("/gr%C3%B6%C3%9Fe", 7),
        ("/REPORTS", 60),
        ("/v1", 60),
    ],
)
def test_the_longest_prefix_of_whole_segments_wins(method: str, target: str, seconds: float) -> None:
    assert request(target, method=method) == seconds


def test_what_a_rule_leaves_out_is_as_for_the_site() -> None:
    assert rule("/x") is None
    slow = rule("/reports")
    assert (slow.slow, slow.body, slow.logged) == (NEVER, 100 * MIB, None)
    assert (slow.request_key, slow.body_key) == ("paths./reports.request", "limits.body")
    assert [(gate.key, gate.most) for gate in slow.gates] == [("paths./reports.threads", 2)]
    quick = rule("/reports/quick")
    assert (quick.slow, quick.gates) == (5 * SECOND, ())
    assert rule("/any").body == sys.maxsize
    assert rule("/small").logged is False
    assert rule("/small").request_key == "timeouts.request"


@pytest.mark.parametrize("host", ["api.example.com", "API.example.com:8080", "api.example.com."])
def test_those_of_a_host_come_first(host: str) -> None:
    assert (request("/v1/x", host), request("/reports", host)) == (3, 300)
    assert rule("/upload", host).body == 100
    assert rule("/upload").body == 2 << 30
    assert request("http://api.example.com/v1", "shop") == 3
    assert request("http://shop/v1", host) == 60


def test_star_is_no_page() -> None:
    assert rule("*", method="OPTIONS") is None


@pytest.mark.parametrize(
    "target",
    [
        "//reports/quick",
        "/reports//quick",
        "/./reports/quick",
        "/x/../reports/quick",
        "/reports/./quick",
        "/reports/x/../quick",
        "/reports/quick;a=b",
        "/reports;a/quick",
        "/reports%5Cquick",
        "/reports/%71uick",
        "/reports/%2571uick",
        "/reports%252Fquick",
        "/reports%2Fquick",
        "/reports/quick%00",
        "/reports/quick%00.png",
        "/reports/%01quick",
        "/reports/quick%3Fx",
        "/reports/quick%23",
        "/%2e%2e/reports/quick",
        "/x/%2e%2e//reports/quick",
        "/reports/..;/x/../reports/quick",
        "/reports/%252e%252e/reports/quick",
        "//",
        "/a//b" * 500 + "/../x",
        "/" + "%2525" * 60 + "%2572",
        "/x/..%5creports%5c/quick/%3b",
    ],
)
def test_another_spelling_gets_the_strictest_of_what_it_may_mean(target: str) -> None:
    found = rule(target)
    if target == "//" or target.startswith("/%2525"):
        assert found is None
    else:
        assert found.request == SECOND


PIECES = [
    "/", "reports", "x", "..", ".", "%2e", "%2F", "%5c", "\\", ";", "%3b", "%25", "%3f", "%252e", "%252f",
    "?", "%00",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=9).map(lambda pieces: "/" + "".join(pieces)))
def test_whoever_reads_that_page_meets_its_rule(target: str) -> None:
    path = unquote(unquote(target.partition("?")[0])).replace("\\", "/")
    if f"{normpath('/' + path.lstrip('/'))}/".startswith("/reports/"):
        assert [gate.key for gate in rule(target).gates] == ["paths./reports.threads"]


@pytest.mark.parametrize(
    "target", ["/x/../upload", "/upload/../x", "//any/../any", "/upload/..%2fx", "/x//../upload"]
)
def test_and_no_larger_limit(target: str) -> None:
    found = rule(target)
    assert found is None or found.body <= 100 * MIB


def test_it_counts_for_all_that_it_may_mean() -> None:
    """And is in the log, unless it would not be by any of these."""
    doubtful = rule("/small/../reports")
    assert [gate.key for gate in doubtful.gates] == ["paths./reports.threads"]
    assert (doubtful.body, doubtful.body_key, doubtful.logged) == (10, "paths./small.body", None)
    assert rule("/small//x").logged is False
    rules = rules_of(SITE)
    gates = [
        rules.find({"PATH_INFO": path, "SERVER_NAME": ""}).gates for path in ("/reports", "/x/../reports")
    ]
    assert gates[0] == gates[1]


def test_all_ways_are_bounded() -> None:
    hostile = "/" + "".join(f"%25{'25' * n}2e/;\\..//" for n in range(40))
    assert (
        readings(hostile[: tested.LONGEST]) is None or len(readings(hostile[: tested.LONGEST])) <= tested.MOST
    )
    assert readings("/" * (tested.LONGEST + 1)) is None
    assert readings("/a/b") == ["/a/b"]


def test_what_is_remembered_is_bounded() -> None:
    rules = rules_of(SITE)
    for number in range(5000):
        assert rules.find({"PATH_INFO": f"/x/{number}", "SERVER_NAME": ""}) is None
    for number in range(3):
        assert rules.find({"PATH_INFO": f"/reports/{number}", "SERVER_NAME": ""}).request == 300 * SECOND
    assert len(rules._known) <= 1024


@pytest.mark.parametrize(
    ("target", "size", "key"),
    [
        ("/small", 11, "paths./small.body"),
        ("/small/x", 10**18, "paths./small.body"),
        ("/%73mall", 11, "paths./small.body"),
        ("/x/../small", 11, "paths./small.body"),
        ("/x", 100 * MIB + 1, "limits.body"),
        ("/upload", (2 << 30) + 1, "paths./upload.body"),
    ],
)
def test_a_body_over_its_limit_is_refused_by_the_head(target: str, size: int, key: str) -> None:
    parser = parsed(target, fields=f"Content-Length: {size}\r\n", method="POST")
    assert (parser.error.status, parser.error.reason) == (413, f"body over {key}")


@pytest.mark.parametrize(
    ("target", "size"), [("/small", 10), ("/upload", 2 << 30), ("/any", 10**17), ("/x", 100 * MIB)]
)
def test_one_within_it_is_not(target: str, size: int) -> None:
    parser = parsed(target, fields=f"Content-Length: {size}\r\n", method="POST")
    assert parser.error is None


CHUNKED = "Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize("chunks", [b"5\r\nabcde\r\n6\r\nabcdef\r\n", b"b\r\n", b"1\r\na\r\n" * 11])
@pytest.mark.parametrize("pieces", [1, 1000])
def test_chunks_over_it_are_refused(chunks: bytes, pieces: int) -> None:
    parser = parsed("/small", fields=CHUNKED, method="POST")
    for at in range(0, len(chunks), pieces):
        parser.feed(chunks[at : at + pieces])
    assert (parser.error.status, parser.error.reason) == (413, "body over paths./small.body")


def test_chunks_within_it_are_not() -> None:
    parser = parsed("/small", fields=CHUNKED, method="POST", rest=b"5\r\nabcde\r\n5\r\nabcde\r\n0\r\n\r\n")
    assert parser.requests[0].input().read() == b"abcdeabcde"


def test_each_request_of_a_connection_has_its_own() -> None:
    one = "GET /{} HTTP/1.1\r\nHost: shop\r\n\r\n"
    parser = parsed("/reports", rest=(one.format("x") + one.format("reports/quick")).encode())
    found = [parser.pop().rule for _ in range(3)]
    assert [each and each.request // SECOND for each in found] == [300, None, 1]
