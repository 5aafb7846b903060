"""`proxy.fields`: who may say them, and that nobody says them in another way."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superwsgi.config.grammar import proxies
from superwsgi.config.grammar.values import Invalid
from superwsgi.config.schema import Site
from superwsgi.config.sections import Limits, Proxy
from superwsgi.http import fields as known_fields
from superwsgi.http.claims import UNDERSTOOD
from superwsgi.http.client.peers import Trusted
from superwsgi.http.client.proxy_protocol import Announcement
from superwsgi.http.request.front import front_of
from superwsgi.http.request.parser import Parser, RequestIds

TRUSTED = Trusted(["10.0.0.0/8"])
FIELDS = ("OIDC_CLAIM_*", "REMOTE_USER", "X-Remote-User", "X-SSL-*", "User", "X_SSL_deep_*", "X_Real_IP")


def parsed(*fields, trusted=TRUSTED, named=FIELDS, on_claim=None):
    site = Site(apps={"/": "a:b"}, name="site", proxy=Proxy(fields=named))
    parser = Parser(
        Limits(), {"REMOTE_ADDR": "10.0.0.9"}, RequestIds(), trusted, on_claim, None, front_of(site)
    )
    parser.feed("\r\n".join(["GET / HTTP/1.1", "Host: a", *fields, "", ""]).encode("latin-1"))
    return parser


def seen(*fields, **how):
    """What the application sees of these fields, or the status of the refusal."""
    parser = parsed(*fields, **how)
    if parser.error is not None:
        return parser.error.status
    environ = parser.requests[0].environ
    ours = ("HTTP_HOST", "HTTP_X_REQUEST_ID")
    return {key: value for key, value in environ.items() if key.startswith("HTTP_") and key not in ours}


SAID = {
    "OIDC_CLAIM_email: a@b": {"HTTP_OIDC_CLAIM_EMAIL": "a@b"},
    "oidc_claim_email: a@b": {"HTTP_OIDC_CLAIM_EMAIL": "a@b"},
    "OIDC_CLAIM_preferred_username: joe": {"HTTP_OIDC_CLAIM_PREFERRED_USERNAME": "joe"},
    "OIDC_CLAIM_email:": {"HTTP_OIDC_CLAIM_EMAIL": ""},
    "OIDC_CLAIM_name: b\xfcro": {"HTTP_OIDC_CLAIM_NAME": "b\xfcro"},
    "REMOTE_USER: joe": {"HTTP_REMOTE_USER": "joe"},
    "X-Remote-User: joe": {"HTTP_X_REMOTE_USER": "joe"},
    "User: joe": {"HTTP_USER": "joe"},
    "X-SSL-Client-DN: CN=joe": {"HTTP_X_SSL_CLIENT_DN": "CN=joe"},
    "X_SSL_deep_dn: CN=joe": {"HTTP_X_SSL_DEEP_DN": "CN=joe"},
    "X_Real_IP: 1.2.3.4": {"HTTP_X_REAL_IP": "1.2.3.4"},
}
OTHER_SPELLINGS = [
    *("OIDC-CLAIM-email: evil", "OIDC_CLAIM-email: evil", "OIDC-CLAIM_email: evil", "oidc-claim-EMAIL: evil"),
    *("OIDC_CLAIM_preferred-username: evil", "REMOTE-USER: evil", "Remote-User: evil", "X_Remote_User: evil"),
    *("X-Remote_User: evil", "X_SSL_Client_DN: evil", "X-SSL-Client_DN: evil", "X_SSL-Client-DN: evil"),
    *("X-SSL-deep-dn: evil", "X-Real-IP: evil", "OIDC-CLAIM-email:evil", "OIDC-CLAIM-email:"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "environ"), SAID.items())
def test_what_a_trusted_peer_says(field, environ):
    assert seen(field) == environ
    assert seen(field, "User-Agent: x") == {**environ, "HTTP_USER_AGENT": "x"}


@pytest.mark.parametrize("field", [*SAID, *OTHER_SPELLINGS])
def test_nobody_else_says_it(field):
    told = []
    assert seen(field, trusted=None, on_claim=lambda *claim: told.append(claim)) == {}
    assert told == [("10.0.0.9", field.partition(":")[0])]


@pytest.mark.parametrize("field", OTHER_SPELLINGS)
def test_another_spelling_is_refused(field):
    parser = parsed(field)
    assert (parser.error.status, "spelling" in parser.error.reason) == (400, True)
    assert "it is spelled " in parser.error.remedy


@pytest.mark.parametrize(
    ("one", "other"),
    list(
        itertools.permutations(
            [
                "OIDC_CLAIM_email: joe",
                "oidc_claim_email: evil",
                "OIDC_CLAIM_email:",
                "OIDC-CLAIM-email: evil",
            ],
            2,
        )
    ),
)
def test_no_two_of_them(one, other):
    for named in (FIELDS, ("OIDC_CLAIM_EMAIL",)):
        assert seen(one, other, named=named) == 400
        assert seen("Cookie: a", one, "Cookie: b", other, named=named) == 400
        assert seen(one, other, named=named, trusted=None) == {}


def test_twice_the_same():
    parser = parsed("REMOTE_USER: joe", "REMOTE_USER: joe")
    assert (parser.error.status, parser.error.reason) == (400, "a field of proxy.fields twice")


@pytest.mark.parametrize(
    "field",
    ["OIDC_CLAIMS_x: y", "OIDC_CLAIM: y", "REMOTE_USERS: y", "XREMOTE_USER: y", "OIDC_CLAIM_: y", "A_b: y"],
)
def test_all_others_with_underscores_are_left_out_as_ever(field):
    told = []
    assert seen(field, on_claim=lambda *claim: told.append(claim)) == {}
    assert told == [("10.0.0.9", field.partition(":")[0])]
    assert seen(field, trusted=None) == {}


def test_others_with_hyphens_are_anybodys():
    fields = ["X-Api-Key: k", "X-User: u", "Remote-Users: r"]
    expected = {"HTTP_X_API_KEY": "k", "HTTP_X_USER": "u", "HTTP_REMOTE_USERS": "r"}
    assert seen(*fields) == seen(*fields, trusted=None) == expected


def test_a_client_that_the_proxy_protocol_names_is_believed_only_if_it_is_trusted():
    for client, expected in (("192.0.2.1", None), ("10.0.0.5", "joe")):
        parser = parsed_after(Announcement(0, True, (client, 1), ("10.0.0.1", 80)))
        assert parser.requests[0].environ.get("HTTP_REMOTE_USER") == expected


def parsed_after(announcement):
    site = Site(apps={"/": "a:b"}, name="site", proxy=Proxy(fields=FIELDS, prefix=True))
    environ = {"REMOTE_ADDR": "10.0.0.9", "wsgi.url_scheme": "http"}
    parser = Parser(Limits(), environ, RequestIds(), TRUSTED, front=front_of(site))
    parser.introduce(announcement, TRUSTED)
    parser.feed(b"GET / HTTP/1.1\r\nHost: a\r\nREMOTE_USER: joe\r\n\r\n")
    return parser


names = st.text(alphabet="oidcOIDC_-claimCLAIMuser", max_size=24).map(
    lambda name: f"OIDC_CLAIM_{name}" if len(name) % 2 else name
)


@given(st.lists(names.filter(bool), max_size=6))
def test_whatever_clients_add_the_variable_is_the_proxys(said):
    """A proxy that compares names as HTTP does sets its own and removes those alike; a client adds others."""
    added = [f"{name}: evil" for name in said if name.lower() != "oidc_claim_email"]
    found = seen("OIDC_CLAIM_email: joe", *added)
    assert found == 400 or found["HTTP_OIDC_CLAIM_EMAIL"] == "joe"
    assert "HTTP_OIDC_CLAIM_EMAIL" not in seen(*added, trusted=None)


def test_without_any_named_it_is_as_ever():
    assert seen("OIDC_CLAIM_email: a", "X-User: b", "X-User: c", named=()) == {"HTTP_X_USER": "b,c"}


READ_BY_US = {
    *(name.upper().replace("-", "_") for name in (*UNDERSTOOD, *known_fields.HOP_BY_HOP)),
    *(
        known_fields.REQUEST_START[5:],
        known_fields.FORWARDED_PREFIX[5:],
        "X_REQUEST_ID",
        "HOST",
        "EXPECT",
        "PROXY",
    ),
    *("CONTENT_LENGTH", "CONTENT_TYPE"),
}


@pytest.mark.parametrize("variable", sorted(READ_BY_US))
def test_what_the_server_reads_itself_cannot_be_named(variable):
    patterns = {variable, variable.replace("_", "-").lower()}
    patterns |= {variable[: at + 1] + "*" for at, letter in enumerate(variable) if letter == "_"}
    for pattern in patterns:
        with pytest.raises(Invalid):
            proxies.field(pattern)
