"""A site below a path: `root`, X-Forwarded-Prefix, and what that means for frameworks, logs and probes."""

import json
import re
import socket

import pytest

from tests.e2e.daemon import FIXTURE_APPS, wait_for
from tests.e2e.test_status import look
from tests.e2e.wire import Wire

FRAMEWORKS = pytest.mark.parametrize("framework", ["flask", "django"])


@pytest.fixture(scope="module")
def site(shared_daemon):
    shared_daemon.site(
        app=None,
        apps={
            "/flask": "e2e_flask:make()",
            "/django": "e2e_django.wsgi:application",
            "/echo": "e2e_right:echo",
        },
        chdir=str(FIXTURE_APPS),
        env={"DJANGO_SETTINGS_MODULE": "e2e_django.settings", "SCRIPT_NAME": "/sub"},
        workers=1,
        proxy={"trusted": ["127.0.0.1", "10.0.0.0/8"], "prefix": True},
        health={"live": "/livez", "ready": "/readyz", "bind": "127.0.0.1:0"},
        paths={"/echo/small": {"body": 10}, "/echo/quiet": {"log": False}},
        log={"skip": ["/echo/skipped"]},
        warmup=["/flask/"],
    )
    return shared_daemon.start()


def connect(site, source="127.0.0.1"):
    """From 127.0.0.1, which is trusted, or another loopback address, which is not."""
    return Wire(socket.create_connection(site.address, source_address=(source, 0)))


def asked(site, path, *fields, source="127.0.0.1", **how):
    with connect(site, source) as wire:
        return wire.ask(path, fields=fields, **how)


def said(site, path, *fields, **how):
    answer = asked(site, path, *fields, **how)
    assert answer.status == 200, answer
    return json.loads(answer.body)


def test_the_warm_up_page_is_below_the_root(site):
    site.wait_log("warmed up page=/flask/ status=200")


@FRAMEWORKS
def test_frameworks_build_right_urls(site, framework):
    found = said(site, f"/sub/{framework}/")
    assert found["self"] == f"/sub/{framework}/"
    assert found["page"] == f"http://example.org/sub/{framework}/page/a%20b"
    location = asked(site, f"/sub/{framework}/moved").fields["location"]
    assert location == f"http://example.org/sub/{framework}/page/new"


@FRAMEWORKS
@pytest.mark.parametrize(
    ("prefix", "path", "url"),
    [("/sub", "", "/sub"), ("/outer", "/sub", "/outer/sub"), ("/sub/", "", "/sub"), ("", "/sub", "/sub")],
)
def test_a_proxy_has_taken_something(site, framework, prefix, path, url):
    found = said(site, f"{path}/{framework}/", f"X-Forwarded-Prefix: {prefix}", "X-Forwarded-Proto: https")
    assert found["self"] == f"{url}/{framework}/"
    assert found["page"] == f"https://example.org{url}/{framework}/page/a%20b"


def test_what_applications_see(site):
    found = said(site, "/sub/echo/a%20b?c")
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("/sub/echo", "/a b")
    assert found["REQUEST_URI"] == found["RAW_URI"] == "/sub/echo/a%20b?c"
    found = said(site, "http://other/sub/echo")
    assert (found["SCRIPT_NAME"], found["PATH_INFO"], found["HTTP_HOST"]) == ("/sub/echo", "", "other")
    found = said(site, "/echo/x", "X-Forwarded-Prefix: /sub")
    assert (found["SCRIPT_NAME"], found["PATH_INFO"], found["REQUEST_URI"]) == ("/sub/echo", "/x", "/echo/x")


HOSTILE = [
    *("/echo", "/subway/echo", "//sub/echo", "/sub/../sub/echo", "/./sub/echo", "/sub%2Fecho", "/sub;x/echo"),
    *("/%2573ub/echo", "/x/../sub/echo", "/sub%00/echo", "/sub%5Cecho", "http://a/echo", "http://a//sub/echo"),
    *("/sub/echo/../../x", "/sub/..;/echo", "/sub/%2e%2e/echo"),
]  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE)
def test_no_other_spelling_reaches_an_application(site, path):
    with connect(site) as wire:
        assert wire.ask(path).status in (400, 404)
        assert wire.ended()
    for prefix in ("/sub", "/sub/echo"):
        assert asked(site, path, f"X-Forwarded-Prefix: {prefix}", source="127.0.0.2").status in (400, 404)


@pytest.mark.parametrize(
    "prefix", ["//evil.example", "/a/../b", "evil", "/%0d%0aX: y", "/a, /b", "/<script>"]
)
def test_junk_is_refused_and_told(site, prefix):
    assert asked(site, "/sub/echo", f"X-Forwarded-Prefix: {prefix}").status == 400
    site.wait_log(
        r'warning worker=1 .*request refused .*status=400 reason="X-Forwarded-Prefix .*next="have the'
    )
    assert (
        said(site, "/sub/echo", f"X-Forwarded-Prefix: {prefix}", source="127.0.0.3")["SCRIPT_NAME"]
        == "/sub/echo"
    )


def test_an_untrusted_peer_is_named_and_not_believed(site):
    found = said(site, "/sub/echo/", "X-Forwarded-Prefix: /evil", source="127.0.0.4")
    assert found["SCRIPT_NAME"] == "/sub/echo"
    assert "HTTP_X_FORWARDED_PREFIX" not in found
    site.wait_log("forwarded fields ignored peer=127.0.0.4 field=X-Forwarded-Prefix")


def test_a_field_with_an_underscore_that_a_trusted_peer_sends_is_named(site):
    assert "HTTP_X_USER" not in said(site, "/sub/echo/", "X_User: joe")
    site.wait_log(r"info +worker=1 .*field left out peer=127.0.0.1 field=X_User .*fields: \[X_User\]")


def test_a_proxy_that_takes_the_root_and_does_not_say_so_is_told(site):
    before = look(site)["totals"]["refused"].get("404", 0)
    assert asked(site, "/flask/").status == 404
    site.wait_log(r'request refused .*status=404 .*next="root is /sub: .*X-Forwarded-Prefix.*prefix: on')
    wait_for(lambda: look(site)["totals"]["refused"].get("404", 0) > before, "one more in the counts")


def test_probes_need_no_root(site):
    assert asked(site, "/livez").body == asked(site, "/sub/readyz").body == b"ok\n"
    found = site.wait_log(r'listening address=http\S*://([\d.]+):(\d+) only="health checks"')
    for path, status in {"/livez": 200, "/sub/livez": 200, "/sub": 404, "/": 404}.items():
        with Wire(socket.create_connection((found[1], int(found[2])))) as wire:
            assert wire.ask(path).status == status


def test_rules_and_logs_go_by_what_is_below(site):
    assert asked(site, "/sub/echo/small", method="POST", body=b"x" * 11).status == 413
    mark = site.mark()
    for path in (
        "/sub/echo/skipped",
        "/sub/echo/skipped/x?y",
        "/sub/echo/quiet",
        "/sub/%65cho/skipped",
        "/sub/livez",
    ):
        assert asked(site, path).status == 200
    assert asked(site, "/echo/skipped", "X-Forwarded-Prefix: /sub").status == 200
    assert asked(site, "/sub/sub/echo/skipped").status == 404
    assert asked(site, "/sub/echo/last").status == 200
    site.wait_log('"GET /sub/echo/last', since=mark)
    logged = re.findall(r'"GET (\S+(?:skipped\S*|quiet|livez|last)) HTTP', site.log[mark:])
    assert logged == ["/sub/sub/echo/skipped", "/sub/echo/last"]


def test_the_whole_server(site):
    assert asked(site, "*", method="OPTIONS").status == 404  # nothing is mounted at /sub itself
    assert asked(site, "a:443", method="CONNECT").status == 501


def test_status_says_where_it_is(site):
    address = "http://{}:{}".format(*site.address)
    assert look(site)["addresses"] == [f"{address}/sub"]
    assert f"{address}/sub, pid" in site.command("status").stdout
