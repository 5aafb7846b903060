"""Who may ask what: hostile hosts, origins and tokens."""

import base64
from typing import Final

import pytest

from superwsgi.admin.guard import Policy, refusal

TOKEN: Final = "0123456789abcdef"
BEARER: Final = {"HTTP_AUTHORIZATION": f"Bearer {TOKEN}"}
POST: Final = {"REQUEST_METHOD": "POST", "PATH_INFO": "/api/reload", "CONTENT_TYPE": "application/json"}
HERE: Final = Policy(frozenset({"ops.example.com", "[fd00::1]"}), TOKEN, exposed=False)
EXPOSED: Final = Policy(frozenset(), TOKEN, exposed=True)
TOKENLESS: Final = Policy(frozenset(), None, exposed=False)


def basic(password, user="me"):
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def asked(policy=HERE, **fields):
    """The status of the refusal, None if there is none."""
    refused = refused_to(policy, **fields)
    return None if refused is None else refused.status


def refused_to(policy, **fields):
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/api/status",
        "SERVER_NAME": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1:9000",
        "CONTENT_LENGTH": "",
        **fields,
    }
    return refusal(environ, policy)


class TestHosts:
    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1:9000", "127.0.0.1", "localhost:9000", "LOCALHOST", "[::1]:9000", "localhost:8080",
            "ops.example.com", "OPS.example.com:443", "[fd00::1]:9000", "[fd00:0::1]",
        ],
    )  # fmt: skip
    def test_ours(self, host):
        assert asked(HTTP_HOST=host) is None

    @pytest.mark.parametrize(
        "host",
        [
            "evil.example.com", "evil.example.com:9000", "127.0.0.1.nip.io:9000", "localhost.evil.com",
            "evil-localhost", "localhost.", "127.0.0.2:9000", "127.1", "2130706433", "0x7f000001", "0.0.0.0",
            "0.0.0.0:9000", "[::]:9000", "[::ffff:127.0.0.1]:9000", "10.0.0.1:9000", "", ":9000", "[]",
            "localhost@evil.com", "evil.com:80:localhost", "localhost, evil.com", "ops.example.com.evil.com",
            "xops.example.com", "*", "null", "ⓛocalhost", "[::1", "::1",
        ],
    )  # fmt: skip
    def test_foreign(self, host):
        if host != "::1":  # which no client sends: RFC 3986 section 3.2.2
            assert asked(HTTP_HOST=host) == 403

    def test_none(self):
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "127.0.0.1"}
        assert refusal(environ, HERE).status == 403

    def test_the_address_that_the_client_has_connected_to(self):
        assert asked(HTTP_HOST="10.0.0.1:9000", SERVER_NAME="10.0.0.1") is None
        assert asked(HTTP_HOST="[fd00::2]:9000", SERVER_NAME="fd00::2") is None

    def test_comes_before_the_token(self):
        assert asked(HTTP_HOST="evil.com", **POST, **BEARER) == 403


class TestOrigins:
    @pytest.mark.parametrize(
        ("origin", "host"),
        [
            ("http://127.0.0.1:9000", "127.0.0.1:9000"),
            ("http://localhost", "localhost:80"),
            ("http://localhost:80", "localhost"),
            ("https://ops.example.com", "ops.example.com"),
            ("https://ops.example.com", "ops.example.com:443"),
        ],
    )
    def test_ours(self, origin, host):
        assert asked(HTTP_ORIGIN=origin, HTTP_HOST=host, **POST, **BEARER) is None
        assert asked(HTTP_ORIGIN=origin, HTTP_HOST=host) is None

    @pytest.mark.parametrize(
        "origin",
        [
            "null", "", "http://evil.com", "http://127.0.0.1", "http://127.0.0.1:9001", "http://localhost:9000",
            "http://127.0.0.1:9000.evil.com", "http://evil.com/127.0.0.1:9000", "file://", "127.0.0.1:9000",
            "http://127.0.0.1:9000/", "http://127.0.0.1:9000@evil.com", "chrome-extension://127.0.0.1:9000",
            "http://127.0.0.1:9000 http://evil.com",
        ],
    )  # fmt: skip
    def test_foreign(self, origin):
        assert asked(HTTP_ORIGIN=origin, **POST, **BEARER) == 403
        assert asked(HTTP_ORIGIN=origin) == 403

    @pytest.mark.parametrize("site", ["cross-site", "same-site", "", "none, same-origin"])
    def test_what_a_browser_says_of_other_pages(self, site):
        assert asked(HTTP_SEC_FETCH_SITE=site, **POST, **BEARER) == 403
        assert asked(HTTP_SEC_FETCH_SITE=site) == 403
        assert asked(HTTP_SEC_FETCH_SITE=site, PATH_INFO="/", HTTP_SEC_FETCH_MODE="no-cors") == 403

    def test_a_link_to_the_page_may_be_followed(self):
        link = {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_SEC_FETCH_MODE": "navigate"}
        assert asked(PATH_INFO="/", HTTP_SEC_FETCH_DEST="document", **link) is None
        assert asked(PATH_INFO="/", HTTP_SEC_FETCH_DEST="iframe", **link) == 403
        assert asked(PATH_INFO="/api/status", HTTP_SEC_FETCH_DEST="document", **link) == 403


class TestToken:
    @pytest.mark.parametrize(
        "given",
        [
            None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}",
            f"Bearer {TOKEN.upper()}",
            TOKEN, f"Token {TOKEN}", f"Bearer {TOKEN} {TOKEN}", f"Bearer Bearer {TOKEN}", f"Bearer {TOKEN},",
            basic(TOKEN), "Bearer \x00", "Bearer é", "Bearer \udcff",
        ],
    )  # fmt: skip
    def test_acting_needs_it(self, given):
        fields = {} if given is None else {"HTTP_AUTHORIZATION": given}
        assert asked(**POST, **fields) == 401

    def test_with_it(self):
        assert asked(**POST, **BEARER) is None
        assert asked(**POST, HTTP_AUTHORIZATION=f"bearer  {TOKEN} ") is None

    def test_there_is_none(self):
        assert asked(TOKENLESS, **POST, HTTP_AUTHORIZATION="Bearer None") == 403
        assert asked(TOKENLESS, **POST, HTTP_AUTHORIZATION="Bearer ") == 403
        assert asked(TOKENLESS) is None

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_here_reading_needs_none(self, method):
        assert asked(REQUEST_METHOD=method) is None

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
    def test_any_other_method_needs_it(self, method):
        assert asked(REQUEST_METHOD=method) == 401

    @pytest.mark.parametrize("given", [f"Bearer {TOKEN}", basic(TOKEN), basic(TOKEN, ""), basic(TOKEN, "é")])
    def test_where_others_can_ask_reading_needs_it(self, given):
        assert asked(EXPOSED) == 401
        assert asked(EXPOSED, PATH_INFO="/metrics") == 401
        assert asked(EXPOSED, HTTP_AUTHORIZATION=given) is None

    @pytest.mark.parametrize(
        "given",
        [
            "Basic", "Basic !", "Basic " + base64.b64encode(TOKEN.encode()).decode(), basic(TOKEN + "x"),
            basic(""), basic("x", TOKEN), "Basic " + base64.b64encode(b"\xff:\xff").decode(), "Basic é",
        ],
    )  # fmt: skip
    def test_a_wrong_password(self, given):
        assert asked(EXPOSED, HTTP_AUTHORIZATION=given) == 401

    def test_a_wrong_one_is_not_said_to_be_missing(self):
        assert (
            "this is not the token" in refused_to(HERE, **POST, HTTP_AUTHORIZATION=f"Bearer {TOKEN}x").reason
        )
        assert "this is not the token" in refused_to(EXPOSED, HTTP_AUTHORIZATION=basic("x")).reason
        assert "is needed" in refused_to(HERE, **POST).reason
        assert "is needed" in refused_to(EXPOSED).reason

    def test_it_is_not_in_what_is_said(self):
        for fields in ({}, {"HTTP_AUTHORIZATION": basic(TOKEN)}, {"HTTP_HOST": "evil.com"}):
            environ = {"SERVER_NAME": "127.0.0.1", "HTTP_HOST": "127.0.0.1", **POST, **fields}
            assert TOKEN not in str(refusal(environ, HERE))


class TestContent:
    @pytest.mark.parametrize(
        "kind",
        [
            "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx",
            "text/plain;application/json", "application/json, text/plain",
        ],
    )  # fmt: skip
    def test_that_a_form_of_another_page_could_send(self, kind):
        assert asked(**{**POST, **BEARER, "CONTENT_TYPE": kind}) == 415

    @pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
    def test_json(self, kind):
        assert asked(**{**POST, **BEARER, "CONTENT_TYPE": kind}) is None

    def test_that_is_too_large(self):
        assert asked(**POST, **BEARER, CONTENT_LENGTH="4097") == 413
        assert asked(**POST, **BEARER, CONTENT_LENGTH="4096") is None
