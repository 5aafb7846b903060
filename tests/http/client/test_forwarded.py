"""What trusted proxies say of their clients: tables of fields, and the walk over any list."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superwsgi.http.client.forwarded import believe, is_forwarded
from superwsgi.http.client.peers import UNIX, Trusted
from superwsgi.http.errors import HttpError

TRUSTED = Trusted(["127.0.0.1/32", "10.0.0.0/8", "fd00::/8", "unix"])
PROXY = "10.0.0.9"


def said(trusted=TRUSTED, **fields):
    """The environ of a request from PROXY with these fields, by their names with `_`."""
    environ = {
        "wsgi.url_scheme": "http",
        "REMOTE_ADDR": PROXY,
        "REMOTE_PORT": "5000",
        "SERVER_NAME": "10.0.0.1",
        "SERVER_PORT": "8000",
        "HTTP_HOST": "shop.example",
        **{f"HTTP_{name.upper()}": value for name, value in fields.items()},
    }
    if is_forwarded(environ):
        believe(environ, trusted)
    return environ


FORWARDED_FOR = {
    "192.0.2.1": ("192.0.2.1", ""),
    " 192.0.2.1\t": ("192.0.2.1", ""),
    "192.0.2.1:4711": ("192.0.2.1", "4711"),
    "192.0.2.1:65536": ("192.0.2.1", ""),
    "2001:DB8::0:1": ("2001:db8::1", ""),
    "[2001:db8::1]": ("2001:db8::1", ""),
    "[2001:db8::1]:4711": ("2001:db8::1", "4711"),
    "::ffff:192.0.2.1": ("192.0.2.1", ""),
    "6.6.6.6, 192.0.2.1": ("192.0.2.1", ""),
    "192.0.2.1, 10.1.1.1": ("192.0.2.1", ""),
    "192.0.2.1,10.1.1.1,fd00::1,127.0.0.1": ("192.0.2.1", ""),
    "192.0.2.1, ::ffff:10.1.1.1": ("192.0.2.1", ""),
    "192.0.2.1, unix:": ("192.0.2.1", ""),
    "10.1.1.1": ("10.1.1.1", ""),
    "10.1.1.1:80, 10.1.1.2": ("10.1.1.1", "80"),
    "nonsense, 192.0.2.1": ("192.0.2.1", ""),
    # from here on the walk meets what is no address: the last one that is sure stays
    "": (PROXY, "5000"),
    "unknown": (PROXY, "5000"),
    "192.0.2.1, unknown": (PROXY, "5000"),
    "192.0.2.1, ": (PROXY, "5000"),
    "192.0.2.1, unknown, 10.1.1.1": ("10.1.1.1", ""),
    "192.0.2.1, 10.1.1.1 10.1.1.2": (PROXY, "5000"),
    "localhost": (PROXY, "5000"),
    "192.0.2.256": (PROXY, "5000"),
    "192.0.2.01": (PROXY, "5000"),
    "192.0.2.1%eth0": (PROXY, "5000"),
    "fe80::1%eth0": (PROXY, "5000"),
    "[192.0.2.1": (PROXY, "5000"),
    "192.0.2.1:": (PROXY, "5000"),
    "192.0.2.1:x": (PROXY, "5000"),
    "\u0661.2.3.4": (PROXY, "5000"),
    "1" * 60_000: (PROXY, "5000"),
    "unix:": (PROXY, "5000"),
}


@pytest.mark.parametrize(("value", "client"), FORWARDED_FOR.items(), ids=lambda v: str(v)[:40])
def test_x_forwarded_for(value, client):
    environ = said(x_forwarded_for=value)
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == client
    assert environ["HTTP_X_FORWARDED_FOR"] == value, "for middleware that wants to read it itself"


def test_peers_on_unix_sockets_are_trusted_where_that_is_configured():
    assert said(Trusted(["10.0.0.0/8"]), x_forwarded_for="192.0.2.1, unix:")["REMOTE_ADDR"] == PROXY


FORWARDED = {
    "for=192.0.2.1": "192.0.2.1",
    'For="192.0.2.1"': "192.0.2.1",
    'for="[2001:db8:cafe::17]:4711"': "2001:db8:cafe::17",
    "for=[2001:db8:cafe::17]:4711": "2001:db8:cafe::17",
    "for=192.0.2.1:4711": "192.0.2.1",
    'for="192.0.2.1:_port"': "192.0.2.1",
    r'for="192.0\.2.1"': "192.0.2.1",
    "for=192.0.2.1;proto=http;by=203.0.113.43": "192.0.2.1",
    "for=192.0.2.1; proto=http": "192.0.2.1",
    "proto=http;for=192.0.2.1;": "192.0.2.1",
    ";;for=192.0.2.1": "192.0.2.1",
    ", ,for=192.0.2.1 , ,": "192.0.2.1",
    "for=6.6.6.6, for=192.0.2.1": "192.0.2.1",
    "for=192.0.2.1, for=10.1.1.1": "192.0.2.1",
    'for=192.0.2.1, for="[fd00::1]";proto=http,for=10.1.1.1': "192.0.2.1",
    'for=192.0.2.1;x="a, for=6.6.6.6"': "192.0.2.1",
    r'for=192.0.2.1;x="a\", for=6.6.6.6"': "192.0.2.1",
    "for=_hidden": PROXY,
    "for=unknown": PROXY,
    'for=192.0.2.1, for="_gazonk"': PROXY,
    "for=192.0.2.1, for=_hidden, for=10.1.1.1": "10.1.1.1",
    "for=192.0.2.1, proto=http": PROXY,
    "by=203.0.113.43": PROXY,
    "": PROXY,
}


@pytest.mark.parametrize(("value", "client"), FORWARDED.items())
def test_forwarded(value, client):
    assert said(forwarded=value)["REMOTE_ADDR"] == client


@pytest.mark.parametrize(
    "value",
    [
        "192.0.2.1",
        "for",
        "for=",
        "for =192.0.2.1",
        'for="192.0.2.1',
        'for="',
        'for="a"b',
        "for=a b",
        "for=a for=b",
        "for=192.0.2.1;for=192.0.2.2",
        "for=192.0.2.1;FOR=192.0.2.1",
        'for="x, for=192.0.2.1',
        "f\u00f6r=192.0.2.1",
        "for=;" + " " * 60_000 + "x",
        ";" + " " * 60_000 + '"',
        'for="' + "\\" * 60_001,
    ],
    ids=lambda value: value[:30],
)
def test_forwarded_that_breaks_its_grammar_is_refused(value):
    with pytest.raises(HttpError) as caught:
        said(forwarded=value)
    assert caught.value.status == 400


SCHEMES = {
    "https": "https",
    "HTTPS": "https",
    "wss": "https",
    "http": "http",
    "https, http": "http",  # the entry of the proxy that the client spoke to is as far right as its address
    "http, https": "https",
    "ftp": "http",
    "": "http",
    "https;": "http",
}


@pytest.mark.parametrize(("value", "scheme"), SCHEMES.items())
def test_x_forwarded_proto(value, scheme):
    environ = said(x_forwarded_proto=value)
    assert environ["wsgi.url_scheme"] == scheme
    assert environ.get("HTTPS") == ("on" if scheme == "https" else None)


OTHER_SPELLINGS = [
    ({"x_forwarded_ssl": "on"}, "https"),
    ({"x_forwarded_ssl": "On"}, "https"),
    ({"x_forwarded_ssl": "off"}, "http"),
    ({"x_forwarded_ssl": "1"}, "http"),
    ({"x_forwarded_protocol": "ssl"}, "https"),
    ({"x_forwarded_protocol": "HTTPS"}, "https"),
    ({"x_forwarded_protocol": "http"}, "http"),
    ({"x_forwarded_proto": "https", "x_forwarded_ssl": "on", "x_forwarded_protocol": "ssl"}, "https"),
    ({"x_forwarded_proto": "nonsense", "x_forwarded_ssl": "on"}, "https"),
    ({"x_forwarded_for": "192.0.2.1, 10.1.1.1", "x_forwarded_protocol": "https, http"}, "https"),
]


@pytest.mark.parametrize(("fields", "scheme"), OTHER_SPELLINGS)
def test_other_names_of_the_scheme(fields, scheme):
    environ = said(**fields)
    assert environ["wsgi.url_scheme"] == scheme
    assert environ.get("HTTPS") == ("on" if scheme == "https" else None)


def test_the_scheme_of_a_tls_connection_from_the_proxy_is_not_the_clients():
    environ = {"wsgi.url_scheme": "https", "HTTPS": "on", "HTTP_X_FORWARDED_PROTO": "http"}
    believe(environ, TRUSTED)
    assert environ["wsgi.url_scheme"] == "http"
    assert "HTTPS" not in environ


def test_lists_are_read_as_far_from_the_right_as_the_client_stands():
    chain = "6.6.6.6, 192.0.2.1, 10.1.1.1"
    environ = said(x_forwarded_for=chain, x_forwarded_proto="ftp, https, http", x_forwarded_port="1, 443, 80")
    assert (environ["wsgi.url_scheme"], environ["SERVER_PORT"]) == ("https", "443")
    assert said(x_forwarded_for=chain, x_forwarded_proto="https")["wsgi.url_scheme"] == "https"
    assert said(forwarded="for=192.0.2.1;proto=https,for=10.1.1.1;proto=http")["wsgi.url_scheme"] == "https"


HOSTS = {
    "www.shop.example": ("www.shop.example", "80"),
    "WWW.shop.example:8443": ("www.shop.example", "8443"),
    "[2001:db8::1]": ("[2001:db8::1]", "80"),
    "[2001:db8::1]:8443": ("[2001:db8::1]", "8443"),
    "www.shop.example:65536": ("10.0.0.1", "8000"),
    "[1::2::3]": ("10.0.0.1", "8000"),
    "evil.example/path": ("10.0.0.1", "8000"),
    "user@evil.example": ("10.0.0.1", "8000"),
    "a b": ("10.0.0.1", "8000"),
    "": ("10.0.0.1", "8000"),
}


@pytest.mark.parametrize(("value", "server"), HOSTS.items())
@pytest.mark.parametrize("field", ["x_forwarded_host", "forwarded"])
def test_the_server_and_not_the_host(value, server, field):
    environ = said(**{field: f'host="{value}"' if field == "forwarded" else value})
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == server
    assert environ["HTTP_HOST"] == "shop.example"


@pytest.mark.parametrize(("value", "port"), [("8443", "8443"), ("65536", "443"), ("x", "443"), ("-1", "443")])
def test_the_port(value, port):
    environ = said(x_forwarded_host="www.shop.example", x_forwarded_proto="https", x_forwarded_port=value)
    assert environ["SERVER_PORT"] == port


AGREEING = [
    {"x_forwarded_for": "6.6.6.6, 192.0.2.1", "forwarded": "for=192.0.2.1"},
    {"x_forwarded_for": "192.0.2.1", "forwarded": "for=192.0.2.1;proto=https", "x_forwarded_proto": "HTTPS"},
    {"x_forwarded_for": "unknown", "forwarded": "for=_hidden"},
    {"x_forwarded_for": "192.0.2.1", "forwarded": "proto=https"},
]
DISAGREEING = [
    {"x_forwarded_for": "192.0.2.1", "forwarded": "for=192.0.2.2"},
    {"x_forwarded_for": "192.0.2.1", "forwarded": "for=_hidden"},
    {"x_forwarded_for": "unknown", "forwarded": "for=192.0.2.1"},
    {"x_forwarded_proto": "http", "forwarded": "proto=https"},
    {"x_forwarded_proto": "https", "x_forwarded_ssl": "off"},
    {"x_forwarded_proto": "http", "x_forwarded_protocol": "ssl"},
    {"x_forwarded_ssl": "on", "x_forwarded_protocol": "http"},
    {"x_forwarded_ssl": "on", "forwarded": "proto=http"},
    {"x_forwarded_host": "shop.example", "forwarded": "host=evil.example"},
]


@pytest.mark.parametrize("fields", AGREEING)
def test_both_kinds_may_say_the_same(fields):
    assert said(**fields)["REMOTE_ADDR"] in ("192.0.2.1", PROXY)


@pytest.mark.parametrize("fields", DISAGREEING)
def test_both_kinds_may_not_disagree(fields):
    with pytest.raises(HttpError, match="disagree"):
        said(**fields)


addresses = st.one_of(
    st.ip_addresses(v=4),
    st.ip_addresses(v=6),
    st.ip_addresses(network="10.0.0.0/8"),
    st.ip_addresses(network="fd00::/8"),
).map(str)
junk = st.sampled_from(["unknown", "_hidden", "", "1.2.3", "a b", '"', "unix", "\xff"])


def canonical(address):
    return TRUSTED.peer(address).address


@given(st.lists(addresses | junk), st.lists(st.sampled_from(["10.0.0.1", "10.9.9.9", "fd00::5"])), addresses)
def test_whatever_a_client_says_it_cannot_change_what_the_proxies_say(claims, proxies, client):
    if TRUSTED.peer(client).trusted:
        return
    said_by_proxies = [client, *proxies]
    environ = said(x_forwarded_for=", ".join([*claims, *said_by_proxies]))
    assert environ["REMOTE_ADDR"] == canonical(client)
    quoted = [f'for="{node}"' if ":" not in node else f'for="[{node}]"' for node in said_by_proxies]
    theirs = [f"for={node}" for node in claims if re.fullmatch(r"[\w.]+", node, re.ASCII)]
    assert said(forwarded=", ".join([*theirs, *quoted]))["REMOTE_ADDR"] == canonical(client)


@given(st.text(alphabet='for=proto;,"\\ 10.[]:_\t'))
def test_any_text_is_understood_or_refused(text):
    environ = said(x_forwarded_for=text)
    assert environ["REMOTE_ADDR"]
    with contextlib.suppress(HttpError):
        assert said(forwarded=text)["REMOTE_ADDR"]


def test_what_is_remembered_of_addresses_is_bounded():
    trusted = Trusted(["10.0.0.0/8", "unix"])
    for number in range(5000):
        assert not trusted.peer(f"192.0.{number // 250}.{number % 250}").trusted
        assert trusted.peer("10.0.0.1").trusted
        assert trusted.peer(UNIX).trusted
    assert len(trusted._known) <= 1024
