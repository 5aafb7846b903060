"""From a head to the environ."""

from __future__ import annotations

import pytest

from superwsgi.http.claims import FORWARDING, is_claim
from superwsgi.http.client.peers import Trusted
from superwsgi.http.environ import base_environ, connection_environ
from superwsgi.http.fields import EnvironKeys
from tests.http.request.feeding import parse

pytestmark = pytest.mark.usefixtures("reader")  # by Python, and by C

TRUSTED = Trusted(["127.0.0.1/32"])


def environ_of(target: bytes = b"/", fields: bytes = b"") -> dict:
    parser = parse(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n")
    assert parser.error is None
    return parser.requests[0].environ


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/a/b", "/a/b", ""),
        (b"/a?b=c?d", "/a", "b=c?d"),
        (b"/%C3%A9%2F", "/\xc3\xa9/", ""),
        (b"//double", "//double", ""),
        (b"http://host/p?q", "/p", "q"),
        (b"http://host", "/", ""),
        (b"http://host?q", "/", "q"),
    ],
)
def test_targets(target, path, query):
    environ = environ_of(target)
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == (path, query)
    assert environ["RAW_URI"] == environ["REQUEST_URI"] == target.decode()


def test_repeated_fields_are_joined():
    environ = environ_of(fields=b"A: 1\r\na: 2\r\nCookie: x=1\r\nCookie: y=2\r\n")
    assert environ["HTTP_A"] == "1,2"
    assert environ["HTTP_COOKIE"] == "x=1; y=2"


@pytest.mark.parametrize("order", [1, -1])
def test_underscores_and_proxy_never_reach_the_application(order):
    fields = [b"X-Real: good\r\n", b"X_Real: evil\r\n", b"Proxy: evil\r\n", b"Content_Length: 9\r\n"][::order]
    environ = environ_of(fields=b"".join(fields))
    assert environ["HTTP_X_REAL"] == "good"
    assert "evil" not in environ.values()
    assert "CONTENT_LENGTH" not in environ


def test_content_fields_have_no_prefix():
    environ = environ_of(fields=b"Content-Type: text/plain\r\n")
    assert environ["CONTENT_TYPE"] == "text/plain"
    assert "HTTP_CONTENT_TYPE" not in environ


def test_what_is_remembered_of_names_is_bounded():
    keys = EnvironKeys(believed=True)
    for n in range(5000):
        assert keys.learn(f"X-{n}") == f"HTTP_X_{n}"
    assert 0 < len(keys.known) <= 1024
    assert keys.learn("X" * 1000)
    assert "X" * 1000 not in keys.known


FAMILY = [
    *(
        "x-forwarded-anything",
        "z-forwarded-for",
        "forwarded-proto",
        "x-forward-proto",
        "newcloud-forwarded-port",
    ),
    *("newcdn-client-ip", "x-newcdn-clientip", "newcdn-connecting-ip", "x-newcdn-real-ip", "visitor-ip"),
    *("x-client-ipv6", "x-remote-address", "newcdn-viewer-addr", "x-client-scheme", "x-original-port"),
]
"""Names that are in no table, of proxies to come."""


@pytest.mark.parametrize("name", [*sorted(FORWARDING), *FAMILY])
@pytest.mark.parametrize("spell", [str.lower, str.upper, str.title])
def test_what_only_a_proxy_can_know_comes_from_trusted_peers_alone(name, spell):
    data = f"GET / HTTP/1.1\r\nHost: x\r\n{spell(name)}: 192.0.2.1\r\nX-Real: 1\r\n\r\n".encode()
    key = f"HTTP_{name.upper().replace('-', '_')}"
    if name != "forwarded":
        assert parse(data, trusted=TRUSTED).requests[0].environ[key] == "192.0.2.1"
    for _ in range(2):  # looked up, and remembered
        environ = parse(data).requests[0].environ
        assert "192.0.2.1" not in environ.values()
        assert environ["HTTP_X_REAL"] == "1"


@pytest.mark.parametrize("name", sorted(FORWARDING))
def test_with_underscores_nobody_says_it(name):
    """`X_Real_IP`, `X-Real_IP` and `X-Real-IP` would be one key in the environ."""
    spelled = {name.replace("-", "_"), name.replace("-", "_", 1), name[::-1].replace("-", "_", 1)[::-1]} - {
        name
    }
    head = "".join(f"{each}: 192.0.2.1\r\n" for each in sorted(spelled))
    data = f"GET / HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode()
    for trusted in (None, TRUSTED):
        assert "192.0.2.1" not in parse(data, trusted=trusted).requests[0].environ.values()


@pytest.mark.parametrize(("name", "source"), FORWARDING.items())
def test_each_name_has_a_source_and_is_spelled_as_it_is_looked_up(name, source):
    assert source
    assert name == name.lower()
    assert "_" not in name


HARMLESS = """
    accept accept-encoding accept-language authorization cache-control connection content-type
    content-length cookie date dnt expect from host if-match if-modified-since if-none-match if-range
    max-forwards origin pragma priority range referer sec-ch-ua sec-ch-ua-platform sec-fetch-dest
    sec-fetch-mode sec-fetch-site sec-gpc te upgrade upgrade-insecure-requests user-agent via traceparent
    tracestate x-requested-with x-csrftoken x-xsrf-token x-api-key x-api-version x-client-id
    x-client-version x-client-name x-device-id x-user-id x-user-agent x-real x-realtime
    x-http-method-override x-idempotency-key idempotency-key x-correlation-id x-hub-signature-256
    x-github-event stripe-signature x-amz-date x-amz-content-sha256 x-goog-resource-id x-amzn-trace-id
    x-cloud-trace-context cf-ray cdn-loop ip-address-count x-shipping-address x-ship-to x-script
    x-original-filename x-source x-zip x-skip tus-resumable upload-offset hx-request hx-current-url
    x-livewire x-inertia x-pjax x-turbo-request-id
"""


@pytest.mark.parametrize("name", HARMLESS.split())
def test_what_clients_say_of_themselves_comes_from_everybody(name):
    assert not is_claim(name)


def test_a_connection_over_tcp_and_one_over_a_unix_socket(capsys):
    import sys

    base = base_environ(sys.stderr, multithread=True, multiprocess=False)
    tcp = connection_environ(base, ("10.0.0.1", 8000), ("10.0.0.2", 5))
    assert (tcp["SERVER_NAME"], tcp["SERVER_PORT"]) == ("10.0.0.1", "8000")
    assert (tcp["REMOTE_ADDR"], tcp["REMOTE_PORT"]) == ("10.0.0.2", "5")
    unix = connection_environ(base, None, None)
    assert unix["SERVER_NAME"]
    assert unix["SERVER_PORT"]
    assert base["SERVER_NAME"] == ""
