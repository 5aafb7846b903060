"""Where a site is: which paths are below its root, what becomes of them, and what proxies may say of it."""

from __future__ import annotations

import tracemalloc
from posixpath import normpath
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superwsgi.config.schema import Site
from superwsgi.config.sections import HealthSettings, Limits, Proxy
from superwsgi.http.client.peers import Trusted
from superwsgi.http.environ import base_environ, connection_environ
from superwsgi.http.request.front import front_of
from superwsgi.http.request.parser import Parser, RequestIds

BASE = base_environ(None, multithread=True, multiprocess=True)
TRUSTED = Trusted(["10.0.0.0/8"])


def site(root="/sub", prefix=True, **keys):
    return Site(apps={"/": "a:b"}, name="site", root=root, proxy=Proxy(prefix=prefix), **keys)


def parsed(target, *fields, root="/sub", prefix=True, trusted=TRUSTED, method="GET", front=None):
    environ = connection_environ(BASE, ("127.0.0.1", 80), ("10.0.0.9", 5000))
    parser = Parser(Limits(), environ, RequestIds(), trusted, front=front or front_of(site(root, prefix)))
    lines = [f"{method} {target} HTTP/1.1", "Host: a", *fields, "", ""]
    parser.feed("\r\n".join(lines).encode("latin-1"))
    return parser


def divided(target, *fields, **how):
    """SCRIPT_NAME and PATH_INFO, or the status of the refusal."""
    parser = parsed(target, *fields, **how)
    if parser.error is not None:
        return parser.error.status
    environ = parser.requests[0].environ
    assert environ["REQUEST_URI"] == environ["RAW_URI"] == target
    return environ["SCRIPT_NAME"], environ["PATH_INFO"]


BELOW = {
    "/sub": "",
    "/sub/": "/",
    "/sub?a=/../b": "",
    "/sub/x": "/x",
    "/sub/x?y": "/x",
    "/sub/sub/x": "/sub/x",
    "/%73ub/x": "/x",
    "/s%75%62": "",
    "/sub/%C3%BC": "/\xc3\xbc",
    "/sub/a%2Fb": "/a/b",
    "/sub//x": "//x",
    "/sub/a/../b": "/a/../b",
    "/sub/a;b/c": "/a;b/c",
    "/sub/x;y": "/x;y",
    "/sub/.": "/.",
    "/sub/..x": "/..x",
    "/sub/100%25": "/100%",
    "/sub/%zz": "/%zz",
    "http://b/sub/x": "/x",
    "http://b/sub": "",
    "/sub/" + "x" * 2000: "/" + "x" * 2000,
    "/sub/a;" + "x" * 2000: "/a;" + "x" * 2000,
}
ELSEWHERE = [
    "/",
    "/x",
    "/subway",
    "/su",
    "/Sub/x",
    "/sub%20",
    "/sub.",
    "/xsub/",
    "http://b",
    "http://b/x",
    "/x/sub",
]
AMBIGUOUS = [
    *("//sub", "//sub/x", "/./sub", "/x/../sub", "/x/../sub/y", "/sub/..", "/sub/../x", "/sub/../sub/x"),
    *("/sub/a/../../sub/x", "/sub/a/../../x", "/sub/%2e%2e/x", "/sub/%252e%252e/x", "/sub/..;/x"),
    *("/sub;x", "/sub;x/y", "/sub;/y", "/sub%3Bx/y", "/sub%3Fx", "/sub%23", "/sub%00", "/sub%00/x"),
    *("/sub%2Fx", "/sub%2fx", "/%2Fsub/x", "/sub%5Cx", "/sub/..%5Cx", "/sub/.%01./x", "/%2573ub/x"),
    *("/sub//..//..", "/sub%0A"),
    *("/%2e/sub/x", "/sub/../" + "x" * 2000, "//sub/" + "x" * 2000, "http://b//sub/x", "http://b/sub/../x"),
]  # fmt: skip


@pytest.mark.parametrize(("target", "path"), BELOW.items(), ids=lambda value: str(value)[:30])
def test_below_the_root(target, path):
    assert divided(target) == ("/sub", path)
    assert divided(target, prefix=False) == ("/sub", path)


@pytest.mark.parametrize("target", ELSEWHERE)
def test_elsewhere(target):
    parser = parsed(target)
    assert parser.error.status == 404
    assert "root is /sub: " in parser.error.remedy
    assert "X-Forwarded-Prefix" in parser.error.remedy


@pytest.mark.parametrize("target", AMBIGUOUS, ids=lambda value: value[:30])
def test_what_is_below_for_some_readers_alone(target):
    assert divided(target) == 400


@pytest.mark.parametrize("target", [*BELOW, *ELSEWHERE, *AMBIGUOUS], ids=lambda value: value[:30])
def test_each_is_read_the_same_way_again(target):
    front = front_of(site())
    assert len({divided(target, front=front) for _ in range(3)}) == 1


def test_the_site_as_a_whole():
    assert divided("*", method="OPTIONS") == ("/sub", "/")
    assert divided("*", root="/", method="OPTIONS") == ("", "/")
    assert divided("a:443", method="CONNECT") == 501


def test_without_a_root_nothing_changes():
    for target in (*BELOW, *ELSEWHERE, *AMBIGUOUS):
        path = target.removeprefix("http://b").partition("?")[0] or "/"
        assert divided(target, root="/") == ("", unquote_to_bytes(path).decode("latin-1"))


@pytest.mark.parametrize(
    ("root", "target", "path"),
    [
        ("/a/b", "/a/b/c", "/c"),
        ("/a/b", "/a%2Fb/c", 400),
        ("/a/b", "/a/c", 404),
        ("/a/b", "/a/c/../b/d", 400),
        ("/größe", "/gr%C3%B6%C3%9Fe/x", "/x"),
        ("/größe", "/gr%c3%b6%C3%9fe", ""),
        ("/größe", "/gr%F6%DFe", 404),
    ],
)
def test_other_roots(root, target, path):
    expected = (root.encode().decode("latin-1"), path) if isinstance(path, str) else path
    assert divided(target, root=root) == expected


def test_health_checks_need_no_root():
    front = front_of(site(health=HealthSettings(live="/livez", ready="/readyz")))
    assert divided("/livez", front=front) == ("", "/livez")
    assert divided("/sub/readyz", front=front) == ("/sub", "/readyz")
    assert divided("/livez/x", front=front) == 404
    assert divided("//livez", front=front) == 404


def test_logs_go_by_the_page():
    pages = {
        "/sub/x?y": b"/x?y",
        "/%73ub/x": b"/x",
        "/sub": b"",
        "/sub/%2e": b"/%2e",
        "http://b/sub/x": b"http://b/sub/x",
    }
    for target, page in pages.items():
        assert parsed(target).requests[0].page == page
    assert parsed("/x", "X-Forwarded-Prefix: /sub").requests[0].page == b"/x"
    assert parsed("/sub/x", "X-Forwarded-Prefix: /sub").requests[0].page == b"/sub/x"


paths = st.lists(
    st.sampled_from(
        ["/", "sub", "way", "..", ".", ";", "a", "%2F", "%2e", "%252e", "%5C", "%00", "//", "%73"]
    )
).map(lambda parts: "/" + "".join(parts))


@given(paths)
def test_no_path_leads_out_of_the_root_or_into_it(target):
    """As an application or a proxy may read it: decoded once or twice, with and without parameters."""
    found = divided(target)
    if isinstance(found, int):
        return
    whole, page = "".join(found), found[1]
    for read in (str, lambda path: unquote_to_bytes(path).decode("latin-1")):
        assert normpath(read(whole).replace("//", "/")).startswith("/sub")
        assert normpath("/sub" + normpath(read(page) or "/")) == normpath(read(whole))


# What proxies say.

PREFIXES = [
    ("/", "/x", "/shop", ("/shop", "/x")),
    ("/", "/x", "/shop/", ("/shop", "/x")),
    ("/", "/x", "/a/b", ("/a/b", "/x")),
    ("/", "/x", "/", ("", "/x")),
    ("/", "/x", "", ("", "/x")),
    ("/", "/x", "/gr%C3%B6%C3%9Fe", ("/gr\xc3\xb6\xc3\x9fe", "/x")),
    ("/sub", "/x", "/sub", ("/sub", "/x")),  # the proxy has taken the root
    ("/sub", "/sub/x", "/sub", ("/sub", "/sub/x")),  # its client asked for /sub/sub/x
    ("/sub", "//x", "/sub", ("/sub", "//x")),
    ("/a/b", "/b/x", "/a", ("/a/b", "/x")),  # a part of it
    ("/a/b", "/a/b/x", "/a", 404),
    ("/sub", "/x", "/sub/api", ("/sub/api", "/x")),  # more than it
    ("/sub", "/sub/x", "/outer", ("/outer/sub", "/x")),  # what is above it
    ("/sub", "/x", "/outer", 404),
    ("/sub", "/sub/x", "/subway", ("/subway/sub", "/x")),
    ("/sub", "/sub/x", "/", ("/sub", "/x")),
]


@pytest.mark.parametrize(("root", "target", "said", "expected"), PREFIXES)
def test_a_trusted_proxy_says_what_it_has_taken(root, target, said, expected):
    field = f"X-Forwarded-Prefix: {said}"
    assert divided(target, field, root=root) == expected
    assert divided(target, field, root=root, trusted=None) == divided(target, root=root)
    assert divided(target, field, root=root, prefix=False) == divided(target, root=root)


JUNK = [
    *("shop", "//shop", "//evil.example", "/shop//x", "http://evil.example/shop", "/shop/../x", "/..", "/."),
    *("/shop?x", "/shop#x", "/shop;x", "/sh op", "/shop\\x", "\\\\evil.example", "/%73hop", "/a%2Fb"),
    *("/%00", "/%0d%0aSet-Cookie:x", "/%FF", "/gr%C3", "/%C2%85", "/größe", "/<script>", "/'onload='"),
    *("/" + "x" * 2000, "/{shop}", "/shop, junk", "junk, /shop", "/%2e%2e", "/a/./b", '/"x"', "*"),
]  # fmt: skip


@pytest.mark.parametrize("said", JUNK, ids=lambda value: value[:20])
def test_junk_is_refused(said):
    fields = [f"X-Forwarded-Prefix: {said}", "X-Forwarded-For: 192.0.2.1, 10.0.0.2"]
    parser = parsed("/x", *fields, root="/")
    assert parser.error.status == 400
    assert parser.error.remedy
    assert divided("/x", *fields, root="/", trusted=None) == ("", "/x")


def test_several_proxies_each_take_something():
    chain = "X-Forwarded-For: 192.0.2.1, 10.0.0.2"
    said = ["X-Forwarded-Prefix: /a", "X-Forwarded-Prefix: /b"]
    assert divided("/x", chain, *said, root="/") == ("/a/b", "/x")
    assert divided("/x", chain, "X-Forwarded-Prefix: /a, /b", root="/") == ("/a/b", "/x")
    assert divided("/x", chain, "X-Forwarded-Prefix: /a,", root="/") == ("/a", "/x")
    assert divided("/x", "Forwarded: for=192.0.2.1, for=10.0.0.2", *said, root="/") == ("/a/b", "/x")


@pytest.mark.parametrize(
    "chain",
    [
        "X-A: b",
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-For: 6.6.6.6, 192.0.2.1",
        "Forwarded: for=192.0.2.1",
    ],
)
def test_more_values_than_trusted_proxies_are_somebody_elses(chain):
    parser = parsed("/x", chain, "X-Forwarded-Prefix: /evil, /shop", root="/")
    assert parser.error.status == 400
    assert "more values" in parser.error.reason


def test_requests_of_one_connection_have_nothing_of_each_other():
    environ = connection_environ(BASE, ("127.0.0.1", 80), ("10.0.0.9", 5000))
    parser = Parser(Limits(), environ, RequestIds(), TRUSTED, front=front_of(site("/", True)))
    for prefix in ("/a", None, "/b", None):
        field = "" if prefix is None else f"X-Forwarded-Prefix: {prefix}\r\n"
        parser.feed(f"GET /x HTTP/1.1\r\nHost: a\r\n{field}\r\n".encode())
        assert parser.pop().environ["SCRIPT_NAME"] == (prefix or "")


def test_what_is_remembered_is_bounded():
    front = front_of(site("/", True))
    for number in range(3000):
        found = divided(f"/{number}", f"X-Forwarded-Prefix: /p{number}", root="/", front=front)
        assert found == (f"/p{number}", f"/{number}")
    assert len(front.root._dividers) <= 1024


def test_prefixes_and_paths_that_a_proxy_lets_through_do_not_fill_the_memory():
    front = front_of(site("/sub"))
    parsed("/sub/x", front=front)
    tracemalloc.start()
    try:
        for prefix in range(50):
            for path in range(100):
                target = f"/sub/{'x' * 200}{prefix * 100 + path}"
                said = f"X-Forwarded-Prefix: /p{prefix}"
                assert divided(target, said, front=front) == (f"/p{prefix}/sub", target[4:])
        assert tracemalloc.get_traced_memory()[0] < 800_000
    finally:
        tracemalloc.stop()
